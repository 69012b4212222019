package runtime_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

const asking = `
format: 1
name: asking
version: 1.0.0
initial_state: looking
data: {why: {type: string, default: ""}}
states: {looking: {home: true}, bad: {home: true}}
transitions:
	- {name: nok, from: [looking], destination: bad, when: 'event.message contains "broke"', set: {why: event.message}}
	- {name: nok, from: [looking], destination: looking}
	- {name: again, from: [bad], destination: looking}
watchers:
	- {name: check, type: probe, state_match: [looking], interval: 1m, fail_transition: nok}
`

// TestWhyALookFailedIsInRecordsExpressionsAndEvents holds a message against everywhere that it goes.
func TestWhyALookFailedIsInRecordsExpressionsAndEvents(t *testing.T) {
	s, bus := announced(t, asking)
	s.complete("check", watchers.Failure("not now"))
	s.wantState("asking", "looking")
	s.Advance(time.Minute)
	s.complete("check", watchers.Failure("it\tbroke\x1b[0m\n"))
	s.wantState("asking", "bad")
	last := s.records[len(s.records)-1]
	if last.Message != "it broke" || last.Set["why"] != "it broke" {
		t.Errorf("got %+v", last)
	}
	e := bus.events[len(bus.events)-1]
	if e.Extensions()["message"] != "it broke" || e.Extensions()["cause"] != "watcher" {
		t.Errorf("published %v", e)
	}
	if again := s.fire("asking", "again"); again.Record.Message != "" {
		t.Errorf("an operator's event has %+v", again.Record)
	}
	if e := bus.events[len(bus.events)-1]; e.Extensions()["message"] != nil {
		t.Errorf("published %v", e)
	}
}

// TestWhyALookFailedIsLoggedAtWarnAndNotOverAndOver has a look fail every minute for a day, and then with other words each time.
func TestWhyALookFailedIsLoggedAtWarnAndNotOverAndOver(t *testing.T) {
	var log logText
	looks := make(map[string]*runtime.PendingLook)
	v := clock.NewVirtual(start)
	sim, err := runtime.NewSimulation(runtime.Config{
		Identity: "n1.example.net", Catalogue: newFakes(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Intercept: func(p *runtime.PendingLook) { looks[p.Machine()] = p },
	}, v)
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	var names []string
	for i := range 50 { // of many identities, as in a demonstration
		d := runtime.Deployment{Definition: load(t, newFakes(), asking), Identity: fmt.Sprintf("n%d", i)}
		if err := sim.Deploy(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	sim.Settle()
	for name := range looks {
		names = append(names, name)
	}
	fail := func(minutes int, message func(i int) string) (lines int) {
		before := strings.Count(log.String(), "level=WARN msg=look_failed")
		for i := range minutes {
			for _, name := range names {
				looks[name].Complete(watchers.Failure(message(i)))
				sim.Settle()
			}
			sim.Advance(time.Minute)
		}
		return strings.Count(log.String(), "level=WARN msg=look_failed") - before
	}
	if n := fail(60, func(int) string { return "no answer" }); n < 1 || n > 7 {
		t.Errorf("%d lines of the same in an hour", n)
	}
	if !strings.Contains(log.String(), `watcher=check outcome=fail message="no answer"`) || !strings.Contains(log.String(), "silenced=499") {
		t.Errorf("the log is %.2000s", log.String())
	}
	if n := fail(60, func(i int) string { return fmt.Sprint("no answer since ", i) }); n < 10 || n > 70 {
		t.Errorf("%d lines in other words each time in an hour", n)
	}
}

const tells = `
format: 1
name: tells
version: 1.0.0
initial_state: looking
states: {looking: {home: true}, bad: {home: true}}
data: {token: {type: string, default: "", secret: true}}
transitions:
	- {name: nok, from: [looking], destination: bad}
	- {name: nok, from: [bad], destination: looking}
	- {name: given, from: [looking], destination: looking, set: {token: event.payload.token}}
watchers:
	- {name: check, type: says, state_match: [looking], interval: 1s, fail_transition: nok, secret: [stderr]}
`

// TestWhyALookFailedTellsNoSecret has looks whose messages hold secrets, whole and in part.
func TestWhyALookFailedTellsNoSecret(t *testing.T) {
	key := "-----BEGIN-----\nMIIBOgIBAAJBAKj34GkxFhD90\n-----END-----"
	for name, rep := range map[string]watchers.Report{
		"of the data":                {Message: "cannot use " + key},
		"quoted":                     {Message: fmt.Sprintf("cannot use %q", key)},
		"a line of the data":         {Message: "bad line: MIIBOgIBAAJBAKj34GkxFhD90"},
		"a line of a secret payload": {Message: "exit code 1: the word is hunter2", Payload: map[string]any{"stderr": "begin\nthe word is hunter2\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakes := newFakes()
			rep.Outcome = machine.OutcomeFail
			fakes.add("says", &watchers.Prepared{New: func() watchers.Watcher {
				return checker(func(context.Context, *watchers.Look) watchers.Report { return rep })
			}}, machine.Outcome{Name: machine.OutcomeFail, Payload: map[string]machine.ValueType{"stderr": machine.String}})
			s := simulate(t, fakes, tells)
			if _, err := s.Fire(t.Context(), "tells", "given", map[string]any{"token": key}, "test"); err != nil {
				t.Fatal(err)
			}
			s.Settle()
			s.complete("check", rep)
			s.wantState("tells", "bad")
			m := s.records[len(s.records)-1].Message
			if !strings.Contains(m, machine.Concealed) || strings.Contains(m, "hunter2") || strings.Contains(m, "MIIB") {
				t.Errorf("the record says %q", m)
			}
		})
	}
}
