package runtime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// errand is a machine whose way there and back has a deadline of its own.
const errand = `
format: 1
name: errand
version: 1.0.0
initial_state: home
states: {home: {home: true}, walking: {after: {1h: noted}}}
groups:
	away: {states: [walking, shopping], after: {20m: reminded, 30m: lost}}
transitions:
	- {name: leave, from: [home], destination: walking}
	- {name: arrive, from: [walking], destination: shopping}
	- {name: walk, from: [shopping], destination: walking}
	- {name: noted, from: [away]}
	- {name: reminded, from: [away]}
	- {name: lost, from: [away], destination: home}
watchers:
	- {name: probe, type: probe, state_match: [away], interval: 10m, success_transition: noted, fail_transition: noted}
`

func TestTheDeadlineOfAGroupCountsFromEnteringIt(t *testing.T) {
	s := simulate(t, newFakes(), errand)
	s.fire("errand", "leave")
	s.Advance(12 * time.Minute)
	s.fire("errand", "arrive")
	s.Advance(7 * time.Minute)
	d, err := s.Machine(t.Context(), "errand")
	if err != nil || d.Deadline == nil || d.Deadline.Group != "away" || !d.Deadline.At.Equal(start.Add(20*time.Minute)) {
		t.Fatalf("next deadline: %+v, %v", d.Deadline, err)
	}
	if strings.Join(d.Groups, " ") != "away" {
		t.Errorf("groups: %v", d.Groups)
	}
	s.Advance(time.Minute)
	if n := s.count("reminded"); n != 1 {
		t.Fatalf("reminded %d times", n)
	}
	s.fire("errand", "walk")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	s.Advance(10*time.Minute - time.Second)
	s.wantState("errand", "walking")
	s.Advance(time.Second)
	s.wantState("errand", "home")
	if n := s.count("reminded"); n != 1 {
		t.Errorf("reminded %d times", n)
	}
	s.Advance(time.Hour)
	s.fire("errand", "leave")
	s.Advance(29 * time.Minute)
	s.wantState("errand", "walking")
	s.Advance(time.Minute)
	s.wantState("errand", "home")
}

func TestTheDeadlineOfAGroupPassesWhileTheHostIsDown(t *testing.T) {
	dir, c := t.TempDir(), newFakes()
	now := time.Now()
	h := runHost(t, runtime.Config{Catalogue: c, StateDir: dir, Clock: clock.NewVirtual(now)})
	h.deploy(errand)
	eventually(t, "it has started", func() bool { return h.detail("errand").Seq > 0 })
	h.fire("errand", "leave")
	h.fire("errand", "arrive")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	later := runHost(t, runtime.Config{Catalogue: c, StateDir: dir, Clock: clock.NewVirtual(now.Add(31 * time.Minute))})
	later.deploy(errand)
	eventually(t, "both deadlines have fired", func() bool { return later.detail("errand").State == "home" })
	var causes []string
	err := later.History(t.Context(), "errand", func(e runtime.HistoryEntry) error {
		if e.Record.Cause.Kind == machine.CauseDeadline {
			causes = append(causes, e.Record.Event+" of "+e.Record.Cause.Group)
		}
		return nil
	})
	if got := strings.Join(causes, ", "); err != nil || got != "reminded of away, lost of away" {
		t.Errorf("deadlines: %s, %v", got, err)
	}
}

func TestAnUpgradeKeepsTheTimeInAGroup(t *testing.T) {
	s := simulate(t, newFakes(), errand)
	s.fire("errand", "leave")
	s.Advance(25 * time.Minute)
	next := strings.NewReplacer("version: 1.0.0", "version: 1.1.0", "20m: reminded, 30m: lost", "15m: noted, 28m: lost").Replace(errand)
	if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, newFakes(), next)}); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	noted := s.count("noted")
	s.Advance(3*time.Minute - time.Second)
	s.wantState("errand", "walking")
	if n := s.count("noted"); n != noted {
		t.Errorf("a deadline before the one that has fired fires again: %d more", n-noted)
	}
	s.Advance(time.Second)
	s.wantState("errand", "home")
}

// TestATransitionWithoutADestinationTouchesNothing has one while a look runs and a deadline and an interval count.
func TestATransitionWithoutADestinationTouchesNothing(t *testing.T) {
	s := simulate(t, newFakes(), errand)
	s.fire("errand", "leave")
	epoch := s.records[len(s.records)-1].Epoch
	s.Advance(5 * time.Minute)
	f := s.fire("errand", "noted")
	if f.Record.Kind != machine.RecordStay || f.Record.Epoch != epoch {
		t.Errorf("%+v", f.Record)
	}
	if len(s.looks["probe"]) != 1 {
		t.Fatalf("%d looks run", len(s.looks["probe"]))
	}
	s.complete("probe", watchers.Success()) // counts: it was not fenced
	if n := s.count("noted"); n != 2 {
		t.Errorf("noted %d times", n)
	}
	s.Advance(5*time.Minute - time.Second)
	if len(s.looks["probe"]) != 0 {
		t.Error("looked before the interval had passed")
	}
	s.Advance(time.Second)
	if len(s.looks["probe"]) != 1 {
		t.Error("the interval began anew")
	}
	d, err := s.Machine(t.Context(), "errand")
	if err != nil || !d.Since.Equal(start) {
		t.Errorf("entered at %s: %v", d.Since, err)
	}
}
