package runtime_test

import (
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

const pump = `
format: 1
name: pump
version: 1.0.0
initial_state: idle
data:
	failures: {type: integer, default: 0}
states:
	checking: {after: {1m: give_up}}
	broken: {final: failure}
	maintenance: {home: true}
	idle: {home: true}
transitions:
	- {name: check, from: [idle], destination: checking}
	- {name: good, from: [checking], destination: idle, set: {failures: "0"}}
	- {name: bad, from: [checking], destination: idle, when: data.failures < 2, set: {failures: data.failures + 1}}
	- {name: bad, from: [checking], destination: broken}
	- {name: give_up, from: [checking], destination: broken}
	- {name: maintain, from: [idle, checking], destination: maintenance}
	- {name: resume, from: [maintenance], destination: idle}
watchers:
	- name: probe
	  type: probe
	  state_match: [checking]
	  success_transition: good
	  fail_transition: bad
`

func TestOutcomesDriveTheMachine(t *testing.T) {
	s := simulate(t, newFakes(), pump)
	s.wantState("pump", "idle")
	for range 2 {
		s.fire("pump", "check")
		s.complete("probe", watchers.Failure("no"))
		s.wantState("pump", "idle")
	}
	s.fire("pump", "check")
	s.complete("probe", watchers.Success())
	if d, err := s.Machine(t.Context(), "pump"); err != nil || d.Data["failures"] != 0 {
		t.Fatalf("data %v, error %v", d.Data, err)
	}
	for range 3 {
		s.fire("pump", "check")
		s.complete("probe", watchers.Failure("no"))
	}
	s.wantState("pump", "broken")
}

func TestDeadlineFiresOnce(t *testing.T) {
	s := simulate(t, newFakes(), pump)
	s.fire("pump", "check")
	s.Advance(59 * time.Second)
	s.wantState("pump", "checking")
	s.Advance(time.Second)
	s.wantState("pump", "broken")
	before := len(s.records)
	s.Advance(time.Hour)
	if len(s.records) != before {
		t.Fatalf("records after the end: %+v", s.records[before:])
	}
}

func TestDeadlineIsKeptAcrossARestart(t *testing.T) {
	s := simulate(t, newFakes(), pump)
	s.fire("pump", "check")
	s.Advance(40 * time.Second)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantState("pump", "checking")
	s.Advance(19 * time.Second)
	s.wantState("pump", "checking")
	s.Advance(time.Second)
	s.wantState("pump", "broken")
}

func TestA06LateResultIsStale(t *testing.T) {
	s := simulate(t, newFakes(), pump)
	s.fire("pump", "check")
	late := s.looks["probe"][0]
	s.fire("pump", "maintain")
	if !late.Cancelled() {
		t.Error("the look of the state that was left goes on")
	}
	before := len(s.records)
	late.Complete(watchers.Success())
	s.Settle()
	s.wantState("pump", "maintenance")
	if len(s.records) != before {
		t.Fatalf("a stale outcome left a record: %+v", s.records[before:])
	}
	s.fire("pump", "resume")
	s.fire("pump", "check")
	s.looks["probe"] = s.looks["probe"][1:]
	s.complete("probe", watchers.Success())
	s.wantState("pump", "idle")
}

func TestA10ImpossibleEventIsARecordedRefusal(t *testing.T) {
	s := simulate(t, newFakes(), pump)
	for _, event := range []string{"resume", "nonsense"} {
		f := s.fire("pump", event)
		if f.Record.Kind != machine.RecordRefused || f.Record.Reason == "" {
			t.Errorf("%s: %+v", event, f.Record)
		}
	}
	if got := len(s.records); got != 3 {
		t.Errorf("%d records, want the start and two refusals", got)
	}
}
