package runtime_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestBurstsOfLooks has many machines look at once, again and again, with fewer goroutines than looks: none is left out.
func TestBurstsOfLooks(t *testing.T) {
	c := newFakes()
	c.check("probe", func(context.Context, *watchers.Look) watchers.Report { return watchers.Success() })
	h := runHost(t, runtime.Config{Identity: "n1", Catalogue: c, MaxLooks: 8})
	const machines, rounds = 100, 5
	for i := range machines {
		h.deploy(fmt.Sprintf(`
format: 1
name: burst%d
version: 1.0.0
initial_state: resting
data: {rounds: {type: integer, default: 0}}
states: {resting: {home: true}, looking: {}}
transitions:
  - {name: begin, from: [resting], destination: looking}
  - {name: done, from: [looking], destination: resting, set: {rounds: data.rounds + 1}}
watchers:
  - {name: probe, type: probe, state_match: [looking], success_transition: done}
`, i))
	}
	for round := range rounds {
		for i := range machines {
			if _, err := h.Fire(t.Context(), fmt.Sprintf("burst%d", i), "begin", nil, "test"); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, fmt.Sprintf("all have looked %d times", round+1), func() bool {
			for _, m := range h.Machines() {
				if m.State != "resting" {
					return false
				}
			}
			return true
		})
	}
}

// away is a bus that reaches nobody but one.
type away struct {
	kept
	reaches string
}

func (a *away) Reaches(identity string) bool { return identity == a.reaches }

func TestNoEventForWhomTheBusDoesNotReach(t *testing.T) {
	for reaches, want := range map[string]int{"n1": 1, "n2": 0} {
		metrics := prometheus.NewRegistry()
		bus := &away{reaches: reaches}
		sim, err := runtime.NewSimulation(runtime.Config{
			Identity: "n1", Catalogue: newFakes(), Log: quiet(), Bus: bus, Metrics: metrics, Intercept: func(*runtime.PendingLook) {},
		}, clock.NewVirtual(start))
		if err != nil {
			t.Fatal(err)
		}
		if err := sim.Deploy(t.Context(), runtime.Deployment{Definition: load(t, newFakes(), watchingWith("interval: 1h"))}); err != nil {
			t.Fatal(err)
		}
		if _, err := sim.Fire(t.Context(), "watching", "leave", nil, "test"); err != nil {
			t.Fatal(err)
		}
		if len(bus.events) != want {
			t.Errorf("the bus reaches %s: %d events, want %d", reaches, len(bus.events), want)
		}
		if n := counted(t, metrics, "statecraft_unpublished_events_total"); n != float64(1-want) {
			t.Errorf("the bus reaches %s: %v events are counted as lost, want %d", reaches, n, 1-want)
		}
	}
}

var _ runtime.Reacher = (*away)(nil)
