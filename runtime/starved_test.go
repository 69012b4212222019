package runtime_test

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

const repairs = `
format: 1
name: repairs
version: 1.0.0
initial_state: checking
states: {checking: {home: true}, repairing: {home: true}, noted: {home: true}}
transitions:
	- {name: ok, from: [checking], destination: noted}
	- {name: nok, from: [checking], destination: repairing}
	- {name: none_left, from: [checking], destination: noted}
	- {name: again, from: [noted, repairing], destination: checking}
watchers:
	- {name: check, type: probe, state_match: [checking], success_transition: ok, fail_transition: nok MORE}
`

// openingNothing is what a look says where no descriptor is left.
func openingNothing() watchers.Report {
	return watchers.Failed(fmt.Errorf("reading the state: %w", &fs.PathError{Op: "open", Path: "/srv/state", Err: syscall.EMFILE}))
}

// TestALookThatCannotBeMadeFiresNothing has the first tries of a look fail for want of descriptors.
func TestALookThatCannotBeMadeFiresNothing(t *testing.T) {
	for name, more := range map[string]string{
		"one look": "", "with an interval": ", interval: 1h", "with tries": ", retry: {max: 1, backoff: 1s..1s, then: nok}", "not twice": ", on_interrupt: fail",
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, newFakes(), strings.ReplaceAll(repairs, " MORE", more))
			for i, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
				s.complete("check", openingNothing())
				s.wantState("repairs", "checking")
				degraded := s.Health().Degraded
				if len(degraded) != 1 || !strings.Contains(degraded[0], "repairs/check (reading the state: open /srv/state: too many open files)") {
					t.Errorf("the host says %q", degraded)
				}
				s.Advance(pause / 2)
				if len(s.looks["check"]) > 0 {
					t.Fatalf("look %d comes again at once", i)
				}
				s.Advance(pause / 2)
			}
			s.complete("check", watchers.Success())
			s.wantState("repairs", "noted")
			if degraded := s.Health().Degraded; len(degraded) > 0 {
				t.Errorf("the host still says %q", degraded)
			}
		})
	}
}

// TestALookThatCannotBeMadeIsForgottenWithItsState leaves the state, and starts anew.
func TestALookThatCannotBeMadeIsForgottenWithItsState(t *testing.T) {
	for name, leave := range map[string]func(s *simulation) error{
		"left": func(s *simulation) error { s.fire("repairs", "nok"); return nil },
		"removed": func(s *simulation) error {
			return s.Remove(t.Context(), "repairs")
		},
		"restarted": func(s *simulation) error { return s.Restart(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, newFakes(), strings.ReplaceAll(repairs, " MORE", ""))
			s.complete("check", openingNothing())
			if err := leave(s); err != nil {
				t.Fatal(err)
			}
			if degraded := s.Health().Degraded; len(degraded) > 0 {
				t.Errorf("the host still says %q", degraded)
			}
		})
	}
}

// TestAManifestMayNameALookThatCannotBeMade has an event for it.
func TestAManifestMayNameALookThatCannotBeMade(t *testing.T) {
	s := simulate(t, newFakes(), strings.ReplaceAll(repairs, " MORE", ", on: {starved: none_left}"))
	s.complete("check", openingNothing())
	s.wantState("repairs", "noted")
	if r := s.records[len(s.records)-1]; r.Event != "none_left" || r.Outcome != machine.OutcomeStarved || !strings.Contains(r.Message, "too many open files") {
		t.Errorf("got %+v", r)
	}
}

// TestALookThatCannotBeMadeIsCounted reads the metrics.
func TestALookThatCannotBeMadeIsCounted(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	var looks []*runtime.PendingLook
	sim, err := runtime.NewSimulation(runtime.Config{
		Identity: "n1.example.net", Catalogue: newFakes(), Log: quiet(), Metrics: reg,
		Intercept: func(p *runtime.PendingLook) { looks = append(looks, p) },
	}, clock.NewVirtual(start))
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	if err := sim.Deploy(t.Context(), runtime.Deployment{Definition: load(t, newFakes(), strings.ReplaceAll(repairs, " MORE", ""))}); err != nil {
		t.Fatal(err)
	}
	sim.Settle()
	want := func(n int) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "statecraft_starved_watchers" && f.GetMetric()[0].GetGauge().GetValue() == float64(n) {
				return
			}
		}
		t.Errorf("the metric is not %d in %v", n, families)
	}
	looks[0].Complete(openingNothing())
	sim.Settle()
	want(1)
	sim.Advance(time.Second)
	looks[1].Complete(watchers.Success())
	sim.Settle()
	want(0)
}
