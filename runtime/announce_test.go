package runtime_test

import (
	"slices"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

// announced runs machines in virtual time, with a bus that keeps what they publish.
func announced(t *testing.T, manifests ...string) (*simulation, *kept) {
	t.Helper()
	bus := &kept{}
	return simulateWith(t, runtime.Config{Catalogue: newFakes(), Bus: bus}, manifests...), bus
}

// transitions are the events that were published of transitions.
func (k *kept) transitions(t *testing.T) (names []string) {
	t.Helper()
	for _, e := range k.events {
		var data struct {
			Machine, Transition string
		}
		if err := e.DataAs(&data); err != nil {
			t.Fatal(err)
		}
		if data.Transition != "" {
			names = append(names, data.Machine+" "+data.Transition)
		}
	}
	return names
}

// TestH63ATransitionThatIsNoNewsIsNotPublished has one that is recorded, and told to a machine that subscribes to it, as any other.
func TestH63ATransitionThatIsNoNewsIsNotPublished(t *testing.T) {
	s, bus := announced(t, `
format: 1
name: poller
version: 1.0.0
initial_state: idle
data: {found: {type: boolean, default: false}}
states: {idle: {home: true}, asking: {home: true}}
transitions:
	- {name: due, from: [idle], destination: asking, announce: false}
	- {name: answered, from: [asking], destination: idle, when: data.found, set: {found: "false"}}
	- {name: answered, from: [asking], destination: idle, announce: false}
	- {name: find, from: [asking], destination: asking, set: {found: "true"}}
`, `
format: 1
name: counter
version: 1.0.0
initial_state: none
data: {polls: {type: integer, default: 0}}
transitions:
	- {name: polled, from: [none], destination: none, set: {polls: data.polls + 1}, subscribe: [{machine_name: poller, event: due}]}
`)
	s.fire("poller", "due")
	s.fire("poller", "answered")
	s.fire("poller", "due")
	s.fire("poller", "find")
	s.fire("poller", "answered")
	if got, want := bus.transitions(t), []string{"poller answered"}; !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
	var recorded []string
	for _, r := range s.records {
		if r.Machine == "poller" && r.Kind == machine.RecordTransition {
			recorded = append(recorded, r.Event)
		}
	}
	if want := []string{"due", "answered", "due", "answered"}; !slices.Equal(recorded, want) {
		t.Errorf("recorded %q, want %q", recorded, want)
	}
	d, err := s.Machine(t.Context(), "counter")
	if err != nil || d.Data["polls"] != 2 {
		t.Errorf("the machine that subscribes counts %v of 2 polls, %v", d.Data["polls"], err)
	}
}

// TestH63DataThatIsTheSameAgainIsNotRecorded has a look that brings data without firing an event, as a command with parse_as_data does.
func TestH63DataThatIsTheSameAgainIsNotRecorded(t *testing.T) {
	s, _ := announced(t, `
format: 1
name: reader
version: 1.0.0
initial_state: a
data: {count: {type: integer}, tags: {type: list, default: []}}
transitions: [{name: leave, from: [a], destination: a}]
watchers: [{name: probe, type: probe, interval: 1m, properties: {}}]
`)
	for i, tt := range []struct {
		data map[string]any
		want int // records so far, beside the start
	}{
		{map[string]any{"count": 7, "tags": []any{"x"}}, 1},
		{map[string]any{"count": 7.0, "tags": []any{"x"}}, 1},
		{map[string]any{"count": 7}, 1},
		{map[string]any{"tags": nil}, 2},
		{map[string]any{"tags": nil}, 2},
		{map[string]any{"count": "none"}, 3}, // which is refused
		{map[string]any{"count": 8}, 4},
	} {
		s.complete("probe", watchers.Report{Outcome: machine.OutcomeSuccess, Data: tt.data})
		s.Advance(time.Minute)
		if got := len(s.records) - 1; got != tt.want {
			t.Errorf("step %d: %d records, want %d", i, got, tt.want)
		}
	}
	d, err := s.Machine(t.Context(), "reader")
	if err != nil || d.Data["count"] != 8 {
		t.Errorf("the data is %v, %v", d.Data, err)
	}
}

// TestH63AnOutcomeThatIsTheSameAgainIsNotPublished holds a look's state event against the one before: with a format what a look finds again is
// no news, while Choria publishes every look.
func TestH63AnOutcomeThatIsTheSameAgainIsNotPublished(t *testing.T) {
	state := map[string]any{"command": "x"}
	found := func(outcome string) watchers.Report { return watchers.Report{Outcome: outcome, State: state} }
	outcomes := []string{"success", "success", "fail", "fail", "success", "success"}
	for name, tt := range map[string]struct {
		format string
		want   int
	}{"with a format": {"format: 1", 3}, "as Choria does": {"", 6}} {
		t.Run(name, func(t *testing.T) {
			s, bus := announced(t, tt.format+`
name: watching
version: 1.0.0
initial_state: a
transitions: [{name: leave, from: [a], destination: a}]
watchers: [{name: probe, type: probe, interval: 1m, timeout: 2h, announce_interval: 1h, properties: {}}]
`)
			for _, outcome := range outcomes {
				s.complete("probe", found(outcome))
				s.Advance(time.Minute)
			}
			if got := len(bus.events); got != tt.want {
				t.Errorf("%d looks that came to %q published %d events, want %d", len(outcomes), outcomes, got, tt.want)
			}
			bus.events = nil
			s.complete("probe", found("success"))
			s.Advance(55 * time.Minute)
			if len(bus.events) == 0 {
				t.Error("announce_interval has published nothing")
			}
		})
	}
}
