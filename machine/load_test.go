package machine

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
)

var update = flag.Bool("update", false, "rewrite the golden files with what is found now")

// TestCheckGolden holds the findings of every seeded defect against what its file says. Each file has
// one or several manifests, which are checked as a set, and the diagnostics wanted, word for word.
func TestCheckGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/check/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("find test data: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { checkGolden(t, file) })
	}
}

func checkGolden(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	if at < 0 {
		at = len(archive.Files)
		archive.Files = append(archive.Files, txtar.File{Name: "want"})
	}
	got := findings(archive.Files[:at])
	if *update {
		archive.Files[at].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(archive.Files[at].Data), got); diff != "" {
		t.Errorf("%s\nfindings differ (-want +got):\n%s", strings.TrimSpace(string(archive.Comment)), diff)
	}
}

func findings(files []txtar.File) string {
	var all diag.List
	var defs []*Definition
	for _, f := range files {
		d, list := Load(f.Name, f.Data, checkTypes())
		all = append(all, list...)
		if d != nil {
			defs = append(defs, d)
		}
	}
	all = append(all, CheckSet(defs)...).Sort()
	if len(all) == 0 {
		return ""
	}
	return all.Error() + "\n"
}

// TestChoriaCorpus loads machines as Choria's users write them. Notes are allowed: an operator may
// well be the one who fires an event.
func TestChoriaCorpus(t *testing.T) {
	files, err := filepath.Glob("../testdata/choria/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("find the corpus: %v, %d files", err, len(files))
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, list := Load(filepath.Base(file), src, checkTypes())
		if d == nil || slices.ContainsFunc(list, func(f diag.Diagnostic) bool { return f.Severity != diag.Note }) {
			t.Errorf("a machine that Choria runs is complained about:\n%v", list)
		}
	}
}

// TestC20MisspelledKeys plants six misspelled keys, at each level of a manifest.
func TestC20MisspelledKeys(t *testing.T) {
	const manifest = `nmae: web
name: web
version: 1.0.0
initial_state: idle
transitions:
  - name: go
    from: [idle]
    destination: busy
    desciption: work
    subscribe:
      - {machine_name: other, event: up, evnt: up}
  - {name: done, from: [busy], destination: idle}
watchers:
  - name: check
    type: exec
    sucess_transition: done
    success_transition: done
    statematch: [busy]
    foreign_state_required:
      - {machine_name: other, state: up, stat: up}
`
	want := map[string]string{
		"nmae": "1:1", "desciption": "9:5", "evnt": "11:42", "sucess_transition": "16:5", "statematch": "18:5", "stat": "20:42",
	}
	for _, reading := range []struct {
		prefix   string
		severity diag.Severity
		offset   int
	}{{"", diag.Warning, 0}, {"format: 1\n", diag.Error, 1}} {
		_, list := Load("m.yaml", []byte(reading.prefix+manifest), checkTypes())
		for key, place := range want {
			i := slices.IndexFunc(list, func(d diag.Diagnostic) bool { return strings.Contains(d.Message, `"`+key+`"`) })
			if i < 0 {
				t.Errorf("%smisspelled key %s is not named", reading.prefix, key)
				continue
			}
			found := list[i]
			found.Line -= reading.offset
			if got := strings.TrimPrefix(found.Position.String(), "m.yaml:"); got != place || found.Severity != reading.severity {
				t.Errorf("%s: %s at %s, want %s at %s", key, found.Severity, got, reading.severity, place)
			}
			if !strings.Contains(found.Hint, "did you mean") {
				t.Errorf("%s: hint %q does not name the right key", key, found.Hint)
			}
		}
	}
}

// TestC20HostileManifests holds that a document that is no manifest is refused with a place.
func TestC20HostileManifests(t *testing.T) {
	for name, src := range map[string]string{
		"empty": "", "a list": "- a\n", "a word": "machine\n", "null items": "name: a\nversion: 1.0.0\ninitial_state: a\ntransitions: [null]\nwatchers: [~]\n",
		"transitions is text": "name: a\nversion: 1.0.0\ninitial_state: a\ntransitions: go\nwatchers: {}\n",
		"states is a list":    "format: 1\nname: a\nversion: 1.0.0\ninitial_state: a\nstates: [a]\ndata: [b]\ntransitions: [{name: go, from: [a], destination: a}]\n",
		"format is a list":    "format: [1]\nname: a\nversion: 1.0.0\ninitial_state: a\n",
		"alias":               "name: &a x\nversion: *a\n",
		"tab":                 "name: a\n\tversion: 1\n",
	} {
		d, list := Load("m.yaml", []byte(src), checkTypes())
		if d != nil || !list.HasErrors() {
			t.Errorf("%s: loaded, findings %v", name, list)
		}
		for _, f := range list {
			if f.File != "m.yaml" || f.Code == "" || f.Message == "" {
				t.Errorf("%s: finding without place, code or message: %+v", name, f)
			}
		}
	}
}

const everyKey = `format: 1
name: every-key
version: 1.2.0-rc.1+build
description: uses every key
initial_state: idle
splay_start: 30
durable: false
on_restart: initial
max_rate: 100/m
data:
  failures: {type: integer, default: 0, description: in a row}
  label: {type: string, default: "8080"}
  anything: {}
states:
  busy: {description: works, after: {1h: late, 30s: done}}
  idle: {home: true}
  broken: {final: failure}
transitions:
  - {name: start, from: "*", destination: busy, when: data.failures < 5, description: x}
  - name: done
    from: [busy, idle]
    destination: idle
    reenter: true
    set: {failures: data.failures + 1, label: "'x'"}
    subscribe: [{machine_name: other, event: up}]
  - {name: late, from: [busy], destination: broken}
watchers:
  - name: check
    type: kv
    state_match: [busy]
    foreign_state_required: [{machine_name: other, state: up}]
    success_transition: done
    fail_transition: late
    on: {created: done}
    interval: 1m
    announce_interval: 1h
    timeout: 20s
    splay: 5s
    governor: slots
    governor_timeout: 2m
    retry: {max: 3, backoff: 2s..30s, then: late}
    when: data.failures == 0
    on_leave: cancel
    on_interrupt: ask
    properties: {bucket: b}
always: []
upgrade: {from: ">=1.0, <1.2", map: {polling: busy}}
requires: ">=0.1, <999"
`

func TestLoadEveryKey(t *testing.T) {
	d, list := Load("m.yaml", []byte(everyKey), checkTypes())
	if len(list) > 1 || d == nil { // one note: the operator starts it
		t.Fatalf("findings:\n%v", list)
	}
	m := d.Manifest
	pos := func(line, column int) diag.Position { return diag.Position{File: "m.yaml", Line: line, Column: column} }
	got := []any{
		m.Format, m.Name, m.Version, m.Description, m.InitialState, m.SplayStart, m.Durable, m.OnRestart, m.MaxRate, m.Data,
		m.States[0], m.Transitions[0].From, m.Transitions[1].Set, m.Transitions[1].Subscribe, m.Transitions[1].Reenter, m.Transitions[0].When,
		m.Watchers[0].Retry, m.Watchers[0].ForeignStateRequired, m.Watchers[0].Properties.Get("bucket").Value, *m.Upgrade,
	}
	want := []any{
		1, "every-key", "1.2.0-rc.1+build", "uses every key", "idle", 30 * time.Second, false, Initial, Rate{Count: 100, Per: time.Minute},
		[]DataField{
			{Name: "failures", Type: Integer, Default: 0, Description: "in a row", Pos: pos(11, 3)},
			{Name: "label", Type: String, Default: "8080", Pos: pos(12, 3)},
			{Name: "anything", Type: Any, Pos: pos(13, 3)},
		},
		StateSpec{Name: "busy", Description: "works", Pos: pos(15, 3), After: []Deadline{
			{After: 30 * time.Second, Event: "done", Pos: pos(15, 53)}, {After: time.Hour, Event: "late", Pos: pos(15, 42)},
		}},
		[]string{"*"},
		[]Assignment{{Key: "failures", Value: marks.Bare("data.failures + 1", pos(24, 21)), Pos: pos(24, 21)}, {Key: "label", Value: marks.Bare("'x'", pos(24, 47)), Pos: pos(24, 47)}},
		[]Subscription{{Machine: "other", Event: "up", Pos: pos(25, 17)}}, true, "data.failures < 5",
		&Retry{Max: 3, From: 2 * time.Second, To: 30 * time.Second, Then: "late"},
		[]ForeignState{{Machine: "other", State: "up", Pos: pos(31, 30)}}, "b",
		Upgrade{From: ">=1.0, <1.2", Map: map[string]string{"polling": "busy"}, Pos: pos(47, 10)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded differently (-want +got):\n%s", diff)
	}
	if m.Requires.String() != ">=0.1, <999" {
		t.Errorf("it requires %s", m.Requires)
	}
	w := m.Watchers[0]
	times := []time.Duration{w.Interval, w.AnnounceInterval, w.Timeout, w.Splay, w.GovernorTimeout}
	if diff := cmp.Diff([]time.Duration{time.Minute, time.Hour, 20 * time.Second, 5 * time.Second, 2 * time.Minute}, times); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	if w.OnLeave != Cancel || w.OnInterrupt != Ask || w.Governor != "slots" || !w.Strict || w.Place("retry.max") != pos(41, 18) {
		t.Errorf("watcher decoded as %+v", w)
	}
}

func TestLoadDefaults(t *testing.T) {
	const body = "name: a\nversion: 1.0.0\ninitial_state: idle\n" +
		"transitions: [{name: go, from: [idle], destination: idle}]\nwatchers: [{name: w, type: exec, success_transition: go, retry: {max: 2}}]\n"
	for prefix, restart := range map[string]OnRestart{"": Initial, "format: 1\n": Resume} {
		brake, rate := BrakeDefault, DefaultRate()
		if prefix == "" {
			brake, rate = BrakeBackOff, Rate{}
		}
		d, list := Load("m.yaml", []byte(prefix+body), checkTypes())
		if d == nil {
			t.Fatal(list)
		}
		m := d.Manifest
		if !m.Durable || m.OnRestart != restart || m.Brake != brake || m.MaxRate != rate || m.Upgrade != nil {
			t.Errorf("%q: durable %v, on_restart %s, brake %s of %v", prefix, m.Durable, m.OnRestart, m.Brake, m.MaxRate)
		}
		if r := *m.Watchers[0].Retry; r != (Retry{Max: 2, From: time.Second, To: time.Minute}) {
			t.Errorf("%q: retry %+v", prefix, r)
		}
	}
}

func TestEscapesDirectory(t *testing.T) {
	for path, want := range map[string]bool{
		"a": false, "a/../b": false, "./a": false, "..a": false, "/etc/motd": false, "": false,
		"..": true, "../a": true, "a/../../b": true, "./../a": true,
	} {
		if got := EscapesDirectory(path); got != want {
			t.Errorf("EscapesDirectory(%q) = %v", path, got)
		}
	}
}
