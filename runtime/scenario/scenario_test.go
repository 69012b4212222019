package scenario_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/scenario"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// write puts the files of an archive into a new directory and returns its path.
func write(t testing.TB, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runIn runs machine_test.yaml of a directory.
func runIn(t testing.TB, dir string) (*scenario.Report, diag.List) {
	t.Helper()
	report, list, err := scenario.Run(t.Context(), filepath.Join(dir, "machine_test.yaml"), all.New(all.Services{}))
	if err != nil {
		t.Fatal(err)
	}
	return report, list
}

// web is a machine with a bit of everything.
const web = `-- machine.yaml --
format: 1
name: web
version: 1.0.0
initial_state: up
splay_start: 0
data:
  failures: {type: integer, default: 0}
  note: {type: string, default: ""}
states:
  down: {after: {5m: forget}}
  gone: {final: failure}
transitions:
  - {name: broke, from: [up], destination: down, when: data.failures < 2, set: {failures: data.failures + 1, note: event.payload.output}}
  - {name: broke, from: [up], destination: gone}
  - {name: mended, from: [down], destination: up}
  - {name: forget, from: [down], destination: up, set: {failures: "0"}}
  - {name: touch, from: [up], destination: up}
  - {name: upstream, from: [up], destination: down, subscribe: [{machine_name: db, event: crashed}]}
watchers:
  - {name: check, type: exec, state_match: [up], interval: 10s, fail_transition: broke, success_transition: touch, properties: {command: ./check}}
  - {name: repair, type: exec, state_match: [down], on_leave: finish, success_transition: mended, properties: {command: ./repair}}
  - name: calm
    type: expression
    state_match: [down]
    interval: 1s
    foreign_state_required: [{machine_name: db, state: calm}]
    success_transition: mended
    properties: {success_when: facts.weather == "fine"}
-- db.yaml --
format: 1
name: db
version: 1.0.0
initial_state: stormy
states: {calm: {home: true}}
transitions:
  - {name: crashed, from: [stormy, calm], destination: stormy, reenter: true}
  - {name: calmed, from: [stormy], destination: calm}
watchers:
  - {name: look, type: exec, state_match: [stormy], on_leave: cancel, interval: 1m, success_transition: calmed, properties: {command: ./look}}
-- machine_test.yaml --
`

func TestScenariosPass(t *testing.T) {
	for name, steps := range map[string]string{
		"outcomes, payload and data": `
      - expect: {state: up, looking: [check], final: none, deadline: none, published: []}
      - outcome: {watcher: check, outcome: fail, payload: {exit_code: 1, output: no answer}}
      - expect:
          state: down
          event: broke
          data: {failures: 1, note: no answer, other: null}
          looking: [repair]
          deadline: {event: forget, in: 5m, at: 2026-01-05T10:05:00Z}
          published: [{transition: broke, from_state: up, to_state: down, machine: web}]
      - expect: {published: []}
      - outcome: {watcher: repair, outcome: success, data: {ticket: 7, size: 1.5}}
      - expect: {state: up, data: {ticket: 7, size: 1.5}}`,
		"time": `
      - outcome: {watcher: check, outcome: success}
      - expect: {event: touch, looking: []}
      - advance: 9s
      - expect: {looking: []}
      - advance: 1s
      - expect: {looking: [check]}
      - outcome: {watcher: check, outcome: timeout}
      - at: 2026-01-05T10:05:09Z
      - expect: {state: down, deadline: forget}
      - advance: 1s
      - expect: {state: up, event: forget}`,
		"a clock that is set does not move a deadline": `
      - outcome: {watcher: check, outcome: fail}
      - set_clock: 2027-01-01T00:00:00Z
      - expect: {state: down, deadline: {event: forget, in: 5m}}
      - advance: 5m
      - expect: {state: up}`,
		"refusals": `
      - fire: mended
      - expect: {state: up, refused: mended}
      - expect: {refused: not taken in state}
      - fire: {event: touch}
      - expect: {event: touch}`,
		"restart": `
      - outcome: {watcher: check, outcome: fail}
      - restart: true
      - expect: {state: down, looking: [repair], data: {failures: 1}}`,
		"late results count for nothing": `
      - outcome: {watcher: check, outcome: fail}
      - fire: mended
      - expect: {state: up, looking: [check, repair]}
      - outcome: {watcher: repair, outcome: success}
      - expect: {state: up, event: mended}`,
		"another machine": `
      - fire: {machine: db, event: crashed}
      - expect: {state: down, event: upstream}
      - expect: {machine: db, state: stormy, looking: [look]}
      - advance: 3s
      - expect: {state: down}
      - outcome: {machine: db, watcher: look, outcome: success}
      - expect: {machine: db, state: calm}
      - expect: {state: up, event: mended}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, web+"with: [db.yaml]\nfacts: {weather: fine}\ntests:\n  - name: it\n    steps:"+steps+"\n")
			report, list := runIn(t, dir)
			if report == nil {
				t.Fatal(list)
			}
			for _, f := range report.Tests[0].Failures {
				t.Errorf("%s\n%s", f, strings.Join(report.Tests[0].Transcript, "\n"))
			}
		})
	}
}

func TestFailuresSayWhatWasWantedAndWhatWasGot(t *testing.T) {
	for name, c := range map[string]struct{ steps, want string }{
		"state and data": {`
      - expect: {state: down, data: {failures: 1, colour: blue}}`,
			`8:9: state of web|down|up; data key colour|"blue"|no such key; data key failures|1|0`},
		"event":   {"\n      - expect: {event: broke}", `8:9: event that web took last|broke|none`},
		"refused": {"\n      - expect: {refused: broke}", `8:9: refusal of the event that web was given last|broke|no event was given`},
		"taken": {`
      - fire: touch
      - expect: {refused: touch}`, `9:9: refusal of the event that web was given last|touch|touch was taken`},
		"looking":   {"\n      - expect: {looking: [repair]}", `8:9: watchers of web that are looking|repair|check`},
		"final":     {"\n      - expect: {final: failure}", `8:9: how web has ended|failure|none`},
		"deadline":  {"\n      - expect: {deadline: forget}", `8:9: next deadline|forget|none`},
		"published": {"\n      - expect: {published: [{transition: broke}]}", `8:9: document published|{"transition":"broke"}|none`},
		"silence": {`
      - outcome: {watcher: check, outcome: fail}
      - expect: {published: []}`, `9:9: documents published|none|{"command":"./check","from_state":"up"`},
		"not looking": {"\n      - outcome: {watcher: repair, outcome: success}\n      - expect: {state: up}",
			`8:9: an outcome is for a watcher that is looking|repair looking|check looking (in state up, 2026-01-05T10:00:00Z)`},
		"back in time": {"\n      - at: 2020-01-01T00:00:00Z\n      - expect: {state: up}",
			`8:9: time does not go back; set_clock sets the clock|2020-01-01T00:00:00Z|2026-01-05T10:00:00Z`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, web+"with: [db.yaml]\nfacts: {}\n# a line\n\ntests:\n  - name: it\n    steps:"+c.steps+"\n")
			report, list := runIn(t, dir)
			if report == nil {
				t.Fatal(list)
			}
			var got []string
			for _, f := range report.Tests[0].Failures {
				what := f.What
				if len(got) == 0 {
					what = fmt.Sprintf("%d:%d: %s", f.Line, f.Column, f.What)
				}
				got = append(got, strings.Join([]string{what, f.Wanted, f.Got}, "|"))
			}
			if joined := strings.Join(got, "; "); joined != c.want && !(name == "silence" && len(joined) > 10) {
				t.Errorf("got  %s\nwant %s", joined, c.want)
			}
			if report.Passed() || len(report.Tests[0].Transcript) == 0 {
				t.Errorf("the report has no failure or no transcript: %+v", report.Tests[0])
			}
		})
	}
}

func TestStateAndDataToBeginWith(t *testing.T) {
	dir := write(t, web+`
with: [db.yaml]
tests:
  - name: in the middle
    state: down
    data: {failures: 2, note: old}
    start: 2026-06-01T00:00:00+02:00
    steps:
      - expect: {state: down, data: {failures: 2, note: old}, deadline: {event: forget, at: "2026-05-31T22:05:00Z"}}
      - outcome: {watcher: repair, outcome: success}
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: gone, final: failure, looking: []}
      - restart: true
      - expect: {state: gone}
`)
	report, list := runIn(t, dir)
	if report == nil || !report.Passed() {
		t.Fatalf("%v %+v", list, report)
	}
}

func TestCoverage(t *testing.T) {
	dir := write(t, web+`
with: [db.yaml]
tests:
  - name: a
    steps:
      - outcome: {watcher: check, outcome: fail}
      - expect: {state: down}
  - name: b
    steps:
      - fire: touch
      - expect: {state: up}
`)
	report, list := runIn(t, dir)
	if report == nil || !report.Passed() {
		t.Fatalf("%v %+v", list, report)
	}
	want := scenario.Coverage{
		States: scenario.Covered{Seen: 2, Total: 3, Missing: []string{"gone"}},
		Transitions: scenario.Covered{Seen: 2, Total: 6, Missing: []string{
			"broke (line 14)", "mended (line 15)", "forget (line 16)", "upstream (line 18)",
		}},
		Guards:   scenario.Covered{Seen: 1, Total: 2, Missing: []string{"broke (line 13) was never false"}},
		Outcomes: scenario.Covered{Seen: 1, Total: 4, Missing: []string{"check: success", "repair: success", "calm: success"}},
	}
	if diff := cmp.Diff(want, report.Coverage); diff != "" {
		t.Errorf("coverage (-want +got):\n%s", diff)
	}
	if report.Coverage.Full() || !want.States.Full() == (want.States.Seen == want.States.Total) {
		t.Error("a machine that is not covered counts as covered")
	}
}

func TestMatchLeavesTestsOut(t *testing.T) {
	dir := write(t, web+"with: [db.yaml]\ntests:\n  - {name: a, steps: [{expect: {state: up}}]}\n  - {name: b, steps: [{expect: {state: up}}]}\n")
	suite, list, err := scenario.Load(filepath.Join(dir, "machine_test.yaml"), all.New(all.Services{}))
	if err != nil || suite == nil {
		t.Fatal(err, list)
	}
	report, err := suite.Run(t.Context(), regexp.MustCompile("b").MatchString)
	if err != nil || len(report.Tests) != 1 || report.Tests[0].Name != "b" {
		t.Errorf("%v %+v", err, report)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := suite.Run(ctx, nil); err == nil {
		t.Error("a cancelled run reports nothing")
	}
}

// TestTheSameEveryTime runs one file several times: the order of machines in a map must not show.
func TestTheSameEveryTime(t *testing.T) {
	dir := write(t, web+`
with: [db.yaml]
tests:
  - name: a
    steps:
      - fire: {machine: db, event: crashed}
      - restart: true
      - set_clock: 2026-02-01T00:00:00Z
      - advance: 2m
      - restart: true
      - expect: {machine: db, state: stormy}
`)
	var first []byte
	for range 20 {
		report, list := runIn(t, dir)
		if report == nil || !report.Passed() {
			t.Fatalf("%v %+v", list, report)
		}
		got, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = got
		}
		if !bytes.Equal(first, got) {
			t.Fatalf("one run differs from another:\n%s\n%s", first, got)
		}
	}
}

func TestATestThatWouldNotEndIsEnded(t *testing.T) {
	dir := write(t, `-- machine.yaml --
name: spinner
version: 1.0.0
initial_state: a
transitions:
  - {name: go, from: [a], destination: b}
  - {name: back, from: [b], destination: a}
watchers:
  - {name: one, type: timer, state_match: [a], fail_transition: go, properties: {timer: 1s}}
  - {name: two, type: timer, state_match: [b], fail_transition: back, properties: {timer: 1s}}
-- machine_test.yaml --
tests:
  - {name: forever, steps: [{advance: 10y}, {expect: {state: a}}]}
`)
	report, list := runIn(t, dir)
	if report == nil {
		t.Fatal(list)
	}
	if len(report.Tests[0].Failures) != 1 || !strings.Contains(report.Tests[0].Failures[0].What, "more than 5000 records") {
		t.Errorf("failures %v", report.Tests[0].Failures)
	}
}

// TestTimersRunInElapsedTime holds that neither a clock that is set nor a restart begins a timer anew.
func TestTimersRunInElapsedTime(t *testing.T) {
	const machine = `-- machine.yaml --
format: 1
name: egg
version: 1.0.0
initial_state: boiling
states: {done: {home: true}}
transitions:
  - {name: ready, from: [boiling], destination: done}
  - {name: again, from: [done], destination: boiling}
watchers:
  - {name: clock, type: timer, state_match: [boiling], fail_transition: ready, properties: {timer: 5m}}
-- machine_test.yaml --
tests:
`
	dir := write(t, machine+`
  - {name: forward, steps: [{advance: 4m}, {set_clock: 2027-01-01T00:00:00Z}, {advance: 59s}, {expect: {state: boiling}}, {advance: 1s}, {expect: {state: done}}]}
  - {name: back, steps: [{advance: 4m}, {set_clock: 2020-01-01T00:00:00Z}, {advance: 59s}, {expect: {state: boiling}}, {advance: 1s}, {expect: {state: done}}]}
  - {name: restart, steps: [{advance: 4m}, {restart: true}, {advance: 59s}, {expect: {state: boiling}}, {advance: 1s}, {expect: {state: done}}]}
`)
	report, list := runIn(t, dir)
	if report == nil {
		t.Fatal(list)
	}
	for _, result := range report.Tests {
		for _, f := range result.Failures {
			t.Errorf("%s: %s", result.Name, f)
		}
	}
}

// TestFireWhileNothingIsTaken holds that an event that waits does not keep the test waiting.
func TestFireWhileNothingIsTaken(t *testing.T) {
	dir := write(t, `-- machine.yaml --
format: 1
name: slow
version: 1.0.0
initial_state: a
splay_start: 60
transitions:
  - {name: go, from: [a], destination: b}
  - {name: back, from: [b], destination: a}
watchers:
  - {name: one, type: timer, state_match: [b], fail_transition: back, properties: {timer: 1h}}
-- machine_test.yaml --
tests:
  - {name: a splay is half of its range, steps: [{advance: 29s}, {expect: {looking: [], deadline: none}}, {advance: 1s}, {expect: {state: a}}, {fire: go}, {expect: {state: b}}]}
  - {name: too early, steps: [{fire: go}, {expect: {state: b}}]}
`)
	report, list := runIn(t, dir)
	if report == nil {
		t.Fatal(list)
	}
	if !report.Tests[0].Passed || report.Tests[1].Passed {
		t.Errorf("%+v", report.Tests)
	}
}

var code = regexp.MustCompile(`SC\d{3}`)

// TestCodesShowWhatTheySay holds the documented examples of the codes of scenario files.
func TestCodesShowWhatTheySay(t *testing.T) {
	seen := 0
	for _, e := range diag.Entries() {
		if e.Code < "SC600" || e.Code >= "SC700" {
			continue
		}
		seen++
		_, list := runIn(t, write(t, e.Bad))
		found := code.FindAllString(list.Error(), -1)
		slices.Sort(found)
		if found = slices.Compact(found); !slices.Equal(found, []string{string(e.Code)}) {
			t.Errorf("%s: the bad example gives %v", e.Code, list)
		}
		if report, list := runIn(t, write(t, e.Good)); report == nil || len(list) > 0 || !report.Passed() {
			t.Errorf("%s: the good example gives %v %+v", e.Code, list, report)
		}
	}
	if seen < 10 {
		t.Errorf("%d codes of scenario files", seen)
	}
}

func TestBrokenFilesSayWhere(t *testing.T) {
	for src, want := range map[string]string{
		"tests: [":                          `SC001`,
		"tests: []":                         `machine_test.yaml:1:8: SC605 there are no tests`,
		"tets: []":                          `SC020 unknown key "tets"`,
		"tests: [{name: a, steps: [{}]}]":   `machine_test.yaml:1:27: SC602 a step is exactly one thing, this one has 0 keys`,
		"tests: [{name: a, steps: [null]}]": `SC028`,
		"tests: [null]":                     `SC028`,
		"tests: [{name: a, steps: [{advance: -1s}]}]":                              `SC025`,
		"tests: [{name: a, steps: [{restart: false}, {expect: {state: up}}]}]":     `SC602`,
		"tests: [{name: a, steps: [{fire: [x]}, {expect: {state: up}}]}]":          `SC023`,
		"with: [machine.yaml]\ntests: [{name: a, steps: [{expect: {state: up}}]}]": `SC607 a machine named web runs here already`,
	} {
		dir := write(t, web+src+"\n")
		report, list := runIn(t, dir)
		if report != nil || !strings.Contains(list.Error(), want) {
			t.Errorf("%s\ngives %v, want %s", src, list, want)
		}
	}
	if _, _, err := scenario.Run(t.Context(), filepath.Join(t.TempDir(), "machine_test.yaml"), all.New(all.Services{})); err == nil {
		t.Error("a file that is not there is no error")
	}
}

func TestAManifestWithErrorsIsNamedWithThem(t *testing.T) {
	_, list := runIn(t, write(t, "-- machine.yaml --\nname: x\n-- machine_test.yaml --\ntests: [{name: a, steps: [{expect: {state: up}}]}]\n"))
	text := list.Error()
	if !strings.Contains(text, "machine_test.yaml:1:1: SC606 the manifest") || !strings.Contains(text, "machine.yaml:1:1: SC021") {
		t.Error(text)
	}
}

// TestAManifestThatIsNotThereIsNamedWhereItIsWritten: the next step is another one for a manifest of with than for the one under test.
func TestAManifestThatIsNotThereIsNamedWhereItIsWritten(t *testing.T) {
	for key, hint := range map[string]string{
		"with: [other.yaml]":  "name a manifest of with by its path from the directory of this file",
		"machine: other.yaml": "name the manifest with machine: FILE, relative to this file",
	} {
		_, list := runIn(t, write(t, web+"-- machine_test.yaml --\n"+key+"\ntests: [{name: a, steps: [{expect: {state: up}}]}]\n"))
		if len(list) != 1 || list[0].Code != "SC606" || list[0].Hint != hint {
			t.Errorf("%s: %v", key, list)
		}
	}
}

// FuzzLoad holds that no file makes the reader or a run panic or hang.
func FuzzLoad(f *testing.F) {
	f.Add("tests: [{name: a, steps: [{expect: {state: up}}]}]")
	f.Add("tests: [{name: a, data: {x: [1, {y: null}]}, steps: [{outcome: {watcher: check, outcome: fail, data: {a: 1}}}, {advance: 1d}, {restart: true}, {expect: {published: [{a: 1}]}}]}]")
	f.Add("start: 9999-12-31T23:59:59Z\ntests: [{name: a, steps: [{at: 0001-01-01T00:00:00Z}, {expect: {deadline: {event: none, in: 1s}}}]}]")
	machine := txtar.Parse([]byte(web)).Files[0].Data
	f.Fuzz(func(t *testing.T, src string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "machine_test.yaml")
		for path, data := range map[string][]byte{filepath.Join(dir, "machine.yaml"): machine, file: []byte(src)} {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		report, list, err := scenario.Run(t.Context(), file, all.New(all.Services{}))
		if err != nil {
			t.Fatal(err)
		}
		if report == nil && !list.HasErrors() {
			t.Error("neither a report nor an error")
		}
	})
}
