package runtime_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// office is a watcher that holds something, of which the test says whether it still does.
type office struct{ lost, told atomic.Bool }

// Listen implements watchers.Listener.
func (o *office) Listen(ctx context.Context, _ *watchers.Look, _ func(watchers.Report)) watchers.Report {
	<-ctx.Done()
	return watchers.Report{}
}

// Holds implements watchers.Holder.
func (o *office) Holds() bool { return !o.lost.Load() || o.told.Load() }

// Told implements watchers.Holder.
func (o *office) Told(outcome string) { o.told.Store(o.told.Load() || outcome == machine.OutcomeFail) }

// TestE35APausedHolderDoesNotWorkOnceMore lets what a machine holds run out while nobody looks: no look of the state `holding` starts,
// of this machine or of one that requires the state, although it is due before the holder has reported the loss.
func TestE35APausedHolderDoesNotWorkOnceMore(t *testing.T) {
	c := newFakes()
	o := &office{}
	c.add("office", &watchers.Prepared{New: func() watchers.Watcher { return o }}, machine.Outcome{Name: machine.OutcomeFail, Class: machine.Failure})
	s := simulate(t, c, `
name: leader
version: 1.0.0
initial_state: holding
transitions:
	- {name: lost, from: [holding], destination: waiting}
watchers:
	- {name: office, type: office, state_match: [holding], fail_transition: lost}
	- {name: work, type: probe, state_match: [holding], interval: 1m}
	- {name: rest, type: probe, state_match: [waiting], interval: 1m}
`, `
name: other
version: 1.0.0
initial_state: idle
transitions:
	- {name: never, from: [idle], destination: idle}
watchers:
	- {name: help, type: probe, state_match: [idle], interval: 1m, foreign_state_required: [{machine_name: leader, state: holding}]}
`)
	complete := func(name string) {
		t.Helper()
		if len(s.looks[name]) != 1 {
			t.Fatalf("%d looks of %s have started, want 1", len(s.looks[name]), name)
		}
		p := s.looks[name][0]
		s.looks[name] = nil
		p.Complete(watchers.Success())
		s.Settle()
	}
	complete("work")
	complete("help")
	o.lost.Store(true)
	s.clock.Advance(20 * time.Minute)
	s.Settle()
	for _, name := range []string{"work", "help"} {
		if n := len(s.looks[name]); n != 0 {
			t.Errorf("%d looks of %s have started after what the machine held had run out", n, name)
		}
	}
	s.looks["office"][0].Emit(watchers.Report{Outcome: machine.OutcomeFail})
	s.Settle()
	if len(s.looks["rest"]) != 1 {
		t.Errorf("the machine knows of the loss, and %d looks of the state after it have started", len(s.looks["rest"]))
	}
}
