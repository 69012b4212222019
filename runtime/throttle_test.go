package runtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// turning goes between two states as fast as it may. KEYS is for the top level of the manifest.
const turning = `
KEYS
name: busy
version: 1.0.0
initial_state: a
transitions:
	- {name: up, from: [a], destination: b}
	- {name: down, from: [b], destination: a}
	- {name: stop, from: [a, b], destination: c}
	- {name: go, from: [c], destination: a}
	- {name: touch, from: [c], destination: c}
watchers:
	- {name: x, type: now, state_match: [a], success_transition: up}
	- {name: y, type: now, state_match: [b], success_transition: down}
`

const strictKeys = "format: 1\nstates: {c: {home: true}}"

func turningWith(keys string) string { return strings.ReplaceAll(turning, "KEYS", keys) }

// turns is how often the machine busy has moved by itself.
func (s *simulation) turns() int { return s.countOf("busy", "up") + s.countOf("busy", "down") }

func TestMachineThatTurnsWithoutAPauseIsSlowed(t *testing.T) {
	s := simulate(t, inlineNow(), turningWith(strictKeys))
	if n := s.turns(); n != 60 {
		t.Fatalf("%d turns at once", n)
	}
	s.Advance(10 * time.Second)
	if n := s.turns(); n != 70 {
		t.Fatalf("%d turns after ten seconds", n)
	}
	d, err := s.Machine(t.Context(), "busy")
	if err != nil || !d.Throttled || !d.ThrottledSince.Equal(start) || !strings.Contains(d.Pace, "60/m") {
		t.Errorf("%+v, %v", d, err)
	}
	s.fire("busy", "stop")
	s.wantState("busy", "c")
	s.Advance(2 * time.Minute)
	if d, err := s.Machine(t.Context(), "busy"); err != nil || d.Throttled {
		t.Errorf("throttled at rest: %+v, %v", d, err)
	}
	before := s.turns()
	s.fire("busy", "go")
	if n := s.turns() - before; n != 60 {
		t.Errorf("%d turns at once after a rest", n)
	}
}

func TestManifestSaysHowFastItMayTurn(t *testing.T) {
	s := simulate(t, inlineNow(), turningWith("max_rate: 500/s\n"+strictKeys))
	s.Advance(time.Second)
	if n := s.turns(); n != 1000 {
		t.Errorf("%d turns in a second at 500/s", n)
	}
	h := runHost(t, runtime.Config{Catalogue: newFakes()})
	h.deploy(strings.ReplaceAll(turningWith("max_rate: none\n"+strictKeys), "type: now", "type: probe"))
	eventually(t, "it turns without a limit", func() bool { return h.Machines()[0].Seq > 500 })
}

// TestManifestWithoutAFormatTurnsAsChoriaLetsIt has the pauses of Choria's back-off at their mean.
func TestManifestWithoutAFormatTurnsAsChoriaLetsIt(t *testing.T) {
	s := simulate(t, inlineNow(), turningWith(""))
	var seen []int
	for range 8 {
		seen = append(seen, s.turns())
		s.Advance(8 * time.Second)
	}
	// Eleven at once, then after 1, 1.5, 2, 2.5 s and so on, and each 5 s from 27 s on.
	if got, want := fmt.Sprint(seen), "[11 15 17 19 21 22 24 25]"; got != want {
		t.Errorf("turns at each eighth second: %s, want %s", got, want)
	}
	s.fire("busy", "stop")
	s.Advance(2 * time.Minute)
	before := s.turns()
	s.fire("busy", "go")
	if n := s.turns() - before; n != 11 {
		t.Errorf("%d turns at once after a quiet time", n)
	}
}

// TestOperatorsAreNotSlowedAndSlowNobody has an operator start a job whose end is the machine's own event, hundreds of times in a row.
func TestOperatorsAreNotSlowedAndSlowNobody(t *testing.T) {
	s := simulate(t, inlineNow(), strings.ReplaceAll(turningWith(strictKeys), "x, type: now", "x, type: probe"))
	for range 300 {
		s.fire("busy", "up")
		s.wantState("busy", "a")
	}
	if d, err := s.Machine(t.Context(), "busy"); err != nil || d.Throttled {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestWhatComesFromOutsideAndStaysIsNotSlowed counts messages faster than any machine may turn.
func TestWhatComesFromOutsideAndStaysIsNotSlowed(t *testing.T) {
	fakes := newFakes()
	fakes.add("hears", &watchers.Prepared{New: func() watchers.Watcher {
		return listener(func(ctx context.Context, _ *watchers.Look, emit func(watchers.Report)) watchers.Report {
			for range 500 {
				emit(watchers.Success())
			}
			<-ctx.Done()
			return watchers.Report{}
		})
	}})
	h := runHost(t, runtime.Config{Catalogue: fakes})
	h.deploy(`
format: 1
name: counts
version: 1.0.0
initial_state: a
data: {heard: {type: integer, default: 0}}
transitions: [{name: heard, from: [a], destination: a, set: {heard: data.heard + 1}}]
watchers: [{name: w, type: hears, success_transition: heard}]
`)
	eventually(t, "all messages are counted", func() bool {
		d, err := h.Machine(t.Context(), "counts")
		return err == nil && d.Data["heard"] == 500
	})
}

const answering = `
format: 1
name: NAME
version: 1.0.0
initial_state: one
states: {one: {home: true}, two: {home: true}}
transitions:
	- {name: go, from: [one], destination: TWO, subscribe: [{machine_name: OTHER, event: go}, {machine_name: OTHER, event: back}]}
	- {name: back, from: [two], destination: one, subscribe: [{machine_name: OTHER, event: go}, {machine_name: OTHER, event: back}]}
	- {name: on, from: [one], destination: two}
`

func TestMachinesThatAnswerEachOtherAreSlowed(t *testing.T) {
	for name, two := range map[string]string{"by turns": "two", "and stay where they are": "one"} {
		t.Run(name, func(t *testing.T) {
			pair := func(name, other string) string {
				return strings.NewReplacer("NAME", name, "OTHER", other, "TWO", two).Replace(answering)
			}
			s := simulate(t, newFakes(), pair("a", "b"), pair("b", "a"))
			s.fire("a", "go")
			s.Advance(10 * time.Second)
			for _, name := range []string{"a", "b"} {
				if n := s.countOf(name, "go") + s.countOf(name, "back"); n < 60 || n > 72 {
					t.Errorf("%s has taken %d events in ten seconds", name, n)
				}
			}
			// One of them may always find that its pause has passed while the other one waited.
			if m := s.Machines(); m[0].ThrottledSince.IsZero() && m[1].ThrottledSince.IsZero() {
				t.Errorf("%+v", m)
			}
		})
	}
}

// eventsBus keeps what is published of one type.
type eventsBus struct {
	typ    string
	events []map[string]any
}

func (b *eventsBus) Publish(_ string, e event.Event) error {
	if e.Type() != b.typ {
		return nil
	}
	var data map[string]any
	err := json.Unmarshal(e.Data(), &data)
	b.events = append(b.events, data)
	return err
}

// TestThrottledMachineIsSeen has everybody who watches a host told: by an event at the beginning and at the end, by metrics, and by the host's
// health where it lasts.
func TestThrottledMachineIsSeen(t *testing.T) {
	bus, reg, fakes := &eventsBus{typ: "io.statecraft.machine.v1.throttled"}, prometheus.NewRegistry(), inlineNow()
	s, err := runtime.NewSimulation(runtime.Config{Identity: "n1.example.net", Catalogue: fakes, Log: quiet(), Bus: bus, Metrics: reg,
		Intercept: func(*runtime.PendingLook) {}}, clock.NewVirtual(start))
	if err != nil {
		t.Fatal(err)
	}
	slow := strings.Replace(turningWith("max_rate: 2/s\n"+strictKeys), "name: busy", "name: slow", 1)
	for _, src := range []string{turningWith(strictKeys), slow} {
		if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, fakes, src)}); err != nil {
			t.Fatal(err)
		}
	}
	s.Advance(time.Minute)
	if len(bus.events) != 2 || bus.events[0]["throttled"] != true || bus.events[0]["machine"] != "busy" {
		t.Fatalf("published: %v", bus.events)
	}
	if n := counted(t, reg, "statecraft_throttled_total"); n != 2 {
		t.Errorf("the counter says %v", n)
	}
	if got := s.Health().Degraded; len(got) != 0 {
		t.Errorf("degraded within a minute: %v", got)
	}
	s.Advance(5 * time.Minute)
	// Whoever writes how fast a machine may be knows that it is.
	if got := s.Health().Degraded; len(got) != 1 || !strings.Contains(got[0], "busy turns without a pause") {
		t.Errorf("degraded: %q", got)
	}
	if _, err := s.Fire(t.Context(), "busy", "stop", nil, "op"); err != nil {
		t.Fatal(err)
	}
	s.Advance(2 * time.Minute)
	if got := s.Health().Degraded; len(got) != 0 {
		t.Errorf("degraded afterwards: %v", got)
	}
	if n := len(bus.events); n != 3 || bus.events[2]["throttled"] != false || bus.events[2]["state"] != "c" {
		t.Errorf("published: %v", bus.events)
	}
}

func TestDeadlineOfAThrottledMachineComes(t *testing.T) {
	s := simulate(t, inlineNow(), turningWith("format: 1\nstates: {c: {after: {1s: go}}}"))
	s.fire("busy", "stop")
	s.Advance(5 * time.Second)
	if n := s.countOf("busy", "go"); n != 1 {
		t.Errorf("the deadline has fired %d times", n)
	}
}
