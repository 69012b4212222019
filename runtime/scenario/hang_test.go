package scenario_test

import (
	"strings"
	"testing"
)

// TestLooksHangAndEndTheSameEveryTime has a check that hangs, and one that finds the same again and again.
func TestLooksHangAndEndTheSameEveryTime(t *testing.T) {
	report, list := runIn(t, write(t, web+`-- machine_test.yaml --
with: [db.yaml]
tests:
  - name: a check that hangs
    steps:
      - hang: check
      - advance: 10s
      - expect: {state: up, looking: [check]}
      - advance: 1s
      - expect: {state: down, event: broke, looking: [check, repair]}
      - outcome: {watcher: repair, outcome: success}
      - expect: {state: up, looking: [check]}
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: up, data: {failures: 1}}
      - advance: 1s
      - expect: {looking: [check]}
  - name: a restart ends what hangs
    steps:
      - hang: {watcher: check, machine: web}
      - advance: 5s
      - restart: true
      - advance: 10s
      - expect: {state: down, looking: [repair]}
  - name: what hangs ends when every look does
    steps:
      - hang: check
      - advance: 11s
      - expect: {state: down, looking: [check, repair]}
      - outcome: {watcher: check, outcome: success, every: true}
      - expect: {state: down, looking: [repair]}
  - name: one that finds the same until it finds something else
    steps:
      - outcome: {watcher: check, outcome: success, every: true}
      - advance: 1h
      - expect: {state: up, event: touch, looking: []}
      - outcome: {watcher: check, outcome: fail, every: true}
      - advance: 10s
      - expect: {state: down, looking: [repair], data: {failures: 1}}
      - outcome: {watcher: check, outcome: success, every: true}
      - outcome: {watcher: repair, outcome: success}
      - expect: {state: up, looking: [], data: {failures: 1}}
`))
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	for _, result := range report.Tests {
		if !result.Passed {
			t.Errorf("%s: %+v\n%s", result.Name, result.Failures, strings.Join(result.Transcript, "\n"))
		}
	}
}

// TestStepsThatCannotBe names what a listener and an expression cannot do in a test.
func TestStepsThatCannotBe(t *testing.T) {
	for step, want := range map[string]string{
		"outcome: {watcher: news, outcome: success, every: true}": "one look that does not end",
		"hang: calm": "runs by itself",
		"hang: chek": "no watcher",
	} {
		_, list := runIn(t, write(t, strings.Replace(web, "watchers:\n", "watchers:\n  - {name: news, type: subscribe, state_match: [up], success_transition: touch, properties: {subject: news.all}}\n", 1)+`-- machine_test.yaml --
with: [db.yaml]
tests:
  - {name: x, steps: [{`+step+`}, {expect: {state: up}}]}
`))
		if err := list.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", step, err, want)
		}
	}
}
