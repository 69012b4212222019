package runtime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// watching is a machine with one watcher, whose further keys are KEYS.
const watching = `
format: 1
name: watching
version: 1.0.0
initial_state: a
states: {a: {home: true}, b: {home: true}}
data: {failures: {type: integer, default: 0}}
transitions:
	- {name: good, from: [a], destination: a}
	- {name: bad, from: [a], destination: b}
	- {name: gave_up, from: [a], destination: b}
	- {name: touch, from: [a], destination: a, set: {failures: data.failures + 1}}
	- {name: leave, from: [a], destination: b}
	- {name: enter, from: [b], destination: a}
watchers:
	- {name: probe, type: probe, state_match: [a], success_transition: good, fail_transition: bad, KEYS}
`

func watchingWith(keys string) string { return strings.ReplaceAll(watching, "KEYS", keys) }

func TestIntervalCountsFromTheStartOfALook(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("interval: 10s"))
	for range 3 {
		s.Advance(4 * time.Second)
		s.complete("probe", watchers.Success())
		s.Advance(5 * time.Second)
		if len(s.looks["probe"]) != 0 {
			t.Fatal("looked before the interval had passed")
		}
		s.Advance(time.Second)
	}
}

func TestSplayDelaysTheFirstLook(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("splay: 10s"))
	s.Advance(4 * time.Second)
	if len(s.looks["probe"]) != 0 {
		t.Fatal("looked before its splay, drawn as half of 10 s")
	}
	s.Advance(2 * time.Second)
	s.complete("probe", watchers.Success())
}

func TestRetryBacksOffAndThenGivesUp(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("interval: 1h, retry: {max: 3, backoff: 1s..3s, then: gave_up}"))
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second} {
		s.complete("probe", watchers.Failure("no"))
		s.Advance(pause - time.Millisecond)
		if len(s.looks["probe"]) != 0 {
			t.Fatalf("tried again before %s", pause)
		}
		s.Advance(time.Millisecond)
	}
	s.complete("probe", watchers.Failure("no"))
	s.wantState("watching", "b")
	if n := s.count("gave_up"); n != 1 {
		t.Errorf("gave up %d times", n)
	}
}

func TestWhenLeavesALookOut(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("interval: 10s, when: data.failures > 0"))
	s.Advance(time.Minute)
	if len(s.looks["probe"]) != 0 {
		t.Fatal("looked although when does not hold")
	}
	s.fire("watching", "touch")
	s.Advance(10 * time.Second)
	s.complete("probe", watchers.Success())
	d, err := s.Machine(t.Context(), "watching")
	if err != nil || !strings.Contains(d.Watchers[0].Skipped+d.Watchers[0].Outcome, "success") {
		t.Errorf("%+v, %v", d.Watchers, err)
	}
}

func TestOnLeaveFinishLetsALookEndAndSerialisesTheNext(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("on_leave: finish"))
	first := s.looks["probe"][0]
	s.fire("watching", "leave")
	if first.Cancelled() {
		t.Fatal("the look was cancelled")
	}
	s.fire("watching", "enter")
	if n := len(s.looks["probe"]); n != 1 {
		t.Fatalf("%d looks at once", n)
	}
	s.complete("probe", watchers.Failure("of the earlier visit"))
	s.wantState("watching", "a")
	s.complete("probe", watchers.Failure("of this visit"))
	s.wantState("watching", "b")
}

func TestDataOfALookIsRecordedWithoutATransition(t *testing.T) {
	s := simulate(t, newFakes(), strings.Replace(watchingWith("interval: 1m"), "success_transition: good, ", "", 1))
	s.complete("probe", watchers.Report{Outcome: machine.OutcomeSuccess, Data: map[string]any{"failures": 7}})
	d, err := s.Machine(t.Context(), "watching")
	if err != nil || d.Data["failures"] != 7 {
		t.Fatalf("%v, %v", d.Data, err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d, err = s.Machine(t.Context(), "watching"); err != nil || d.Data["failures"] != 7 {
		t.Errorf("after a restart: %v, %v", d.Data, err)
	}
}

func TestForeignStateGatesAndWakes(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("foreign_state_required: [{machine_name: power, state: on}]"), `
format: 1
name: power
version: 1.0.0
initial_state: off
states: {off: {home: true}, on: {home: true}}
transitions:
	- {name: turn_on, from: [off], destination: on}
	- {name: turn_off, from: [on], destination: off}
`)
	if len(s.looks["probe"]) != 0 {
		t.Fatal("looked although the other machine is off")
	}
	s.fire("power", "turn_on")
	s.complete("probe", watchers.Success())
}

func TestInterruptedLookIsNotRunAgain(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("on_interrupt: fail"))
	if n := len(s.looks["probe"]); n != 1 {
		t.Fatalf("%d looks", n)
	}
	s.looks["probe"] = nil
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.looks["probe"]) != 0 {
		t.Fatal("the look ran again")
	}
	s.wantState("watching", "b")
	last := s.records[len(s.records)-1]
	if last.Outcome != machine.OutcomeInterrupted || last.Cause.Run != 1 {
		t.Errorf("%+v", last)
	}
	s.fire("watching", "enter")
	s.complete("probe", watchers.Success())
}

func TestInterruptedLookMayWaitForAnOperator(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("on_interrupt: ask"))
	s.looks["probe"] = nil
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Advance(time.Hour)
	s.wantState("watching", "a")
	if len(s.looks["probe"]) != 0 {
		t.Fatal("the look ran again")
	}
	d, err := s.Machine(t.Context(), "watching")
	if err != nil || d.Watchers[0].Outcome != machine.OutcomeInterrupted {
		t.Errorf("%+v, %v", d.Watchers, err)
	}
}

func TestListenerReportsWhileItsStateLasts(t *testing.T) {
	fakes := newFakes()
	ended := make(chan struct{})
	fakes.add("ear", &watchers.Prepared{New: func() watchers.Watcher {
		return listener(func(ctx context.Context, _ *watchers.Look, emit func(watchers.Report)) watchers.Report {
			emit(watchers.Success())
			<-ctx.Done()
			close(ended)
			return watchers.Report{}
		})
	}})
	h := runHost(t, runtime.Config{Catalogue: fakes})
	h.deploy(`
name: hears
version: 1.0.0
initial_state: a
transitions:
	- {name: heard, from: [a], destination: b}
	- {name: back, from: [b], destination: a}
watchers:
	- {name: ear, type: ear, state_match: [a], success_transition: heard}
	- {name: other, type: probe, state_match: [b]}
`)
	eventually(t, "the report moved the machine", func() bool { return h.Machines()[0].State == "b" })
	<-ended
}

func TestReloadKeepsStateAndData(t *testing.T) {
	fakes := newFakes()
	s := simulate(t, fakes, watchingWith("interval: 1h"))
	s.fire("watching", "touch")
	s.fire("watching", "leave")
	next := strings.ReplaceAll(watchingWith("interval: 2h"), "1.0.0", "1.1.0")
	if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, fakes, next)}); err != nil {
		t.Fatal(err)
	}
	d, err := s.Machine(t.Context(), "watching")
	if err != nil || d.State != "b" || d.Data["failures"] != 1 || d.Version != "1.1.0" {
		t.Fatalf("%+v, %v", d, err)
	}
	gone := strings.ReplaceAll(next, "b: {home: true}", "c: {home: true}")
	gone = strings.ReplaceAll(strings.ReplaceAll(gone, "destination: b", "destination: c"), "from: [b]", "from: [c]")
	if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, fakes, gone)}); err != nil {
		t.Fatal(err)
	}
	if d, err = s.Machine(t.Context(), "watching"); err != nil || d.State != "a" || d.Data["failures"] != 1 {
		t.Errorf("the state is gone: %+v, %v", d, err)
	}
}

func TestFollowerSwapsOnlyWhatPasses(t *testing.T) {
	h := runHost(t, runtime.Config{Catalogue: newFakes(), StateDir: t.TempDir()})
	folder := t.TempDir()
	write := func(text string) {
		t.Helper()
		text = strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\t", "  ")
		if err := os.WriteFile(filepath.Join(folder, runtime.ManifestName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(watchingWith("interval: 1h"))
	var found diag.List
	f := runtime.NewFollower(h.Host, []string{folder}, runtime.Unsigned, func(l diag.List) { found = l })
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	write("name: watching\nversion: [")
	f.Look(t.Context())
	if !found.HasErrors() || h.Machines()[0].Version != "1.0.0" {
		t.Fatalf("a broken edit: %v, %+v", found, h.Machines())
	}
	write(strings.ReplaceAll(watchingWith("interval: 2h"), "1.0.0", "1.2.0"))
	f.Look(t.Context())
	if v := h.Machines()[0].Version; v != "1.2.0" {
		t.Fatalf("still version %s", v)
	}
	if err := os.Remove(filepath.Join(folder, runtime.ManifestName)); err != nil {
		t.Fatal(err)
	}
	f.Look(t.Context())
	if n := len(h.Machines()); n != 0 {
		t.Errorf("%d machines left", n)
	}
}

func TestFollowerRefusesTheWholeAtStart(t *testing.T) {
	h := runHost(t, runtime.Config{Catalogue: newFakes()})
	folder := t.TempDir()
	for name, text := range map[string]string{"good.yaml": watchingWith("interval: 1h"), "bad.yaml": "name: bad\n"} {
		text = strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\t", "  ")
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := runtime.NewFollower(h.Host, []string{folder}, runtime.Unsigned, func(diag.List) {}).Start(t.Context())
	var list diag.List
	if !errors.As(err, &list) || len(h.Machines()) != 0 {
		t.Errorf("%v, %+v", err, h.Machines())
	}
}

func TestGovernorAdmitsInOrderOfArrival(t *testing.T) {
	fakes := newFakes()
	entered, leave := make(chan string), make(chan struct{})
	fakes.check("busy", func(ctx context.Context, l *watchers.Look) watchers.Report {
		select {
		case entered <- l.Machine:
		case <-ctx.Done():
			return watchers.Failure("ended")
		}
		<-leave
		return watchers.Success()
	})
	h := runHost(t, runtime.Config{Catalogue: fakes, Governors: map[string]int{"deploys": 1}})
	governed := func(name string) string {
		return strings.ReplaceAll(`
name: NAME
version: 1.0.0
initial_state: a
transitions:
	- {name: done, from: [a], destination: b}
	- {name: back, from: [b], destination: a}
watchers:
	- {name: w, type: busy, state_match: [a], governor: deploys, success_transition: done}
	- {name: rest, type: probe, state_match: [b]}
`, "NAME", name)
	}
	h.deploy(governed("first"))
	if got := <-entered; got != "first" {
		t.Fatal(got)
	}
	h.deploy(governed("second"))
	eventually(t, "the second waits", func() bool {
		d, err := h.Machine(t.Context(), "second")
		return err == nil && d.Watchers[0].Running
	})
	select {
	case got := <-entered:
		t.Fatalf("%s got in beside the first", got)
	default:
	}
	leave <- struct{}{}
	if got := <-entered; got != "second" {
		t.Fatal(got)
	}
	leave <- struct{}{}
}

// kept is a bus that keeps what is published.
type kept struct{ events []event.Event }

func (k *kept) Publish(_ string, e event.Event) error {
	k.events = append(k.events, e)
	return nil
}

func TestTransitionsArePublishedAsChoriaDoes(t *testing.T) {
	bus := &kept{}
	s := &simulation{t: t, clock: clock.NewVirtual(start), looks: map[string][]*runtime.PendingLook{}}
	sim, err := runtime.NewSimulation(runtime.Config{
		Identity: "n1.example.net", Catalogue: newFakes(), Log: quiet(), Bus: bus,
		Intercept: func(*runtime.PendingLook) {},
	}, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	s.Simulation = sim
	if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, newFakes(), watchingWith("interval: 1h"))}); err != nil {
		t.Fatal(err)
	}
	s.fire("watching", "touch")
	s.fire("watching", "leave")
	if len(bus.events) != 1 {
		t.Fatalf("%d events, want the one change of state", len(bus.events))
	}
	e := bus.events[0]
	var data map[string]any
	if err := e.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	if e.Type() != "io.choria.machine.v1.transition" || e.Subject() != "n1.example.net" || data["from_state"] != "a" || data["to_state"] != "b" {
		t.Errorf("%s\n%v", e, data)
	}
	for _, key := range []string{"protocol", "identity", "id", "version", "timestamp", "machine", "transition"} {
		if data[key] == nil {
			t.Errorf("%s is missing", key)
		}
		delete(data, key)
	}
	if len(data) != 2 {
		t.Errorf("the schema allows no other fields: %v", data)
	}
}
