package factgather

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

func cancelled(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

func panicking(text string) entry {
	return entry{id: "x", fetch: func(context.Context, *watchers.Look) (map[string]any, error) { panic(text) }}
}

// bench is a machine's directory and a watcher in it, with a clock that the test sets.
type bench struct {
	*testing.T
	dir string
	now time.Time
	w   *watcher
}

func newBench(t *testing.T, text string) *bench {
	return &bench{T: t, dir: t.TempDir(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), w: newWatcher(mustSpec(t, text))}
}

func (b *bench) write(name, text string, mode os.FileMode) {
	b.Helper()
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) check() watchers.Report {
	return b.w.Check(b.Context(), &watchers.Look{Directory: b.dir, At: b.now})
}

func (b *bench) facts(r watchers.Report) map[string]any {
	b.Helper()
	if r.Facts == nil {
		b.Fatalf("no facts: %s: %s", r.Outcome, r.Message)
	}
	document := decoded(b.T, r.Facts)
	delete(document, reserved)
	return document
}

func TestSourcesMergeInOrder(t *testing.T) {
	b := newBench(t, `
builtin: false
sources:
  - file: first.json
  - file: second.yaml
  - directory: facts.d
  - {file: first.json, key: below.here}
`)
	b.write("first.json", `{"a": 1, "deep": {"x": 1, "y": 1}}`, 0o644)
	b.write("second.yaml", "a: 2\ndeep: {y: 2}\n", 0o644)
	b.write("facts.d/10-a.txt", "role=db\nrack=1\n", 0o644)
	b.write("facts.d/20-b.json", `{"rack": 2}`, 0o644)
	b.write("facts.d/30-run", "#!/bin/sh\necho 'rack: 3'\n", 0o755)
	b.write("facts.d/40-not-run", "#!/bin/sh\necho 'rack: 4'\n", 0o644)
	b.write("facts.d/.hidden.json", `{"rack": 5}`, 0o644)
	b.write("facts.d/50-old.json~", `{"rack": 6}`, 0o644)
	report := b.check()
	want := map[string]any{
		"a": 2.0, "deep": map[string]any{"x": 1.0, "y": 2.0}, "role": "db", "rack": 3.0,
		"below": map[string]any{"here": map[string]any{"a": 1.0, "deep": map[string]any{"x": 1.0, "y": 1.0}}},
	}
	if diff := cmp.Diff(want, b.facts(report)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if report.Payload["failed"] != 0 {
		t.Errorf("payload = %v, message %s", report.Payload, report.Message)
	}
	sources := at(t, decoded(t, report.Facts), "statecraft.sources")
	good := map[string]any{"ok": true, "age_seconds": 0.0}
	wantSources := map[string]any{"first_json": good, "second_yaml": good, "facts_d": good, "below_here": good}
	if diff := cmp.Diff(any(wantSources), sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

func TestOutcomeFollowsTheStableHash(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{file: f.json}]\n")
	b.write("f.json", `{"role": "db", "system_uptime": {"seconds": 1}}`, 0o644)
	first := b.check()
	b.write("f.json", `{"role": "db", "system_uptime": {"seconds": 2}}`, 0o644)
	second := b.check()
	b.write("f.json", `{"role": "web", "system_uptime": {"seconds": 2}}`, 0o644)
	third := b.check()
	got := []string{first.Outcome, second.Outcome, third.Outcome}
	if diff := cmp.Diff([]string{"changed", "unchanged", "changed"}, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if at(t, decoded(t, second.Facts), "system_uptime.seconds") != 2.0 {
		t.Error("unchanged facts are reported with their old volatile values")
	}
	if first.Payload["sha256"] != second.Payload["sha256"] || first.Payload["sha256"] == third.Payload["sha256"] {
		t.Error("the payload's hash does not follow the stable facts")
	}
}

func TestTheBuiltinGathererInAWatcher(t *testing.T) {
	b := newBench(t, "file: facts.json\n")
	first, second := b.check(), b.check()
	if first.Outcome != outcomeChanged || second.Outcome != outcomeUnchanged {
		t.Errorf("outcomes = %s (%s), %s (%s)", first.Outcome, first.Message, second.Outcome, second.Message)
	}
	written, err := os.ReadFile(filepath.Join(b.dir, "facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(second.Facts), string(written)); diff != "" {
		t.Errorf("the file (-reported +written):\n%s", diff)
	}
	if count, ok := second.Payload["count"].(int); !ok || count < 20 {
		t.Errorf("count = %v", second.Payload["count"])
	}
	if second.Payload["bytes"] != len(second.Facts) {
		t.Errorf("bytes = %v, want %d", second.Payload["bytes"], len(second.Facts))
	}
}

func TestAFailingSourceKeepsItsLastGoodFacts(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{file: good.json}, {file: bad.json}]\n")
	b.write("good.json", `{"a": 1}`, 0o644)
	b.write("bad.json", `{"b": 1}`, 0o644)
	b.check()
	b.now = b.now.Add(90 * time.Second)
	b.write("bad.json", `{"b": `, 0o644)
	report := b.check()
	if report.Outcome != outcomeUnchanged || report.Payload["failed"] != 1 || !strings.Contains(report.Message, "bad_json") {
		t.Errorf("report = %s %v %q", report.Outcome, report.Payload, report.Message)
	}
	if diff := cmp.Diff(map[string]any{"a": 1.0, "b": 1.0}, b.facts(report)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	state, ok := at(t, decoded(t, report.Facts), "statecraft.sources.bad_json").(map[string]any)
	if !ok || state["ok"] != false || state["age_seconds"] != 90.0 || state["error"] == nil {
		t.Errorf("state of the source = %v", state)
	}
}

func TestADirectoryThatGoesKeepsItsFacts(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{file: a.json}, {directory: facts.d}]\n")
	b.write("a.json", `{"a": 1}`, 0o644)
	b.write("facts.d/x.json", `{"x": 1}`, 0o644)
	b.write("facts.d/y.json", `{"y": 1}`, 0o644)
	b.check()
	if err := os.Remove(filepath.Join(b.dir, "facts.d/y.json")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"a": 1.0, "x": 1.0}, b.facts(b.check())); diff != "" {
		t.Errorf("after a file was removed (-want +got):\n%s", diff)
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "facts.d")); err != nil {
		t.Fatal(err)
	}
	report := b.check()
	if diff := cmp.Diff(map[string]any{"a": 1.0, "x": 1.0}, b.facts(report)); diff != "" {
		t.Errorf("after the directory was removed (-want +got):\n%s", diff)
	}
	if failed, ok := report.Payload["failed"].(int); !ok || failed == 0 {
		t.Errorf("payload = %v", report.Payload)
	}
}

func TestAllSourcesFailing(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{file: none.json}, {directory: none.d}]\n")
	report := b.check()
	if report.Outcome != machine.OutcomeFail || report.Facts != nil || !strings.Contains(report.Message, "none_json") {
		t.Errorf("report = %s %q, facts %s", report.Outcome, report.Message, report.Facts)
	}
}

func TestSecretsNeverBecomeFacts(t *testing.T) {
	b := newBench(t, "builtin: false\nfile: out.json\ndeny: [site.owner]\nsources: [{file: f.json, key: site}]\n")
	b.write("f.json", `{"owner": "ann", "db": {"password": "hunter2", "host": "db1"}}`, 0o644)
	report := b.check()
	if diff := cmp.Diff(map[string]any{"site": map[string]any{"db": map[string]any{"host": "db1"}}}, b.facts(report)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !strings.Contains(report.Message, "2 denied") || !strings.Contains(report.Message, "site.db.password") {
		t.Errorf("message = %q", report.Message)
	}
	written, err := os.ReadFile(filepath.Join(b.dir, "out.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{report.Message, string(report.Facts), string(written)} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "ann") {
			t.Errorf("a secret is in %q", text)
		}
	}
}

func TestTheDocumentIsBounded(t *testing.T) {
	b := newBench(t, "builtin: false\nmax_bytes: 1KiB\nsources: [{file: f.json}]\n")
	b.write("f.json", `{"a": "`+strings.Repeat("x", 2000)+`"}`, 0o644)
	report := b.check()
	if report.Outcome != machine.OutcomeFail || report.Facts != nil || !strings.Contains(report.Message, "max_bytes") {
		t.Errorf("report = %s %q", report.Outcome, report.Message)
	}
}

func TestASourceFileIsBounded(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{file: a.json}, {file: f.json, output_limit: 1KiB}]\n")
	b.write("a.json", `{"a": 1}`, 0o644)
	b.write("f.json", `{"b": "`+strings.Repeat("x", 2000)+`"}`, 0o644)
	if report := b.check(); report.Payload["failed"] != 1 {
		t.Errorf("report = %v %q", report.Payload, report.Message)
	}
}

func TestCommandsAreReadAgainAfterTheirInterval(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{command: ./count, interval: 1h}, {command: ./count, key: always}]\n")
	b.write("runs", "", 0o644)
	b.write("count", "#!/bin/sh\nprintf x >>runs\necho a=1\n", 0o755)
	for _, step := range []struct {
		after time.Duration
		runs  int64 // in all
	}{{0, 2}, {30 * time.Minute, 3}, {30 * time.Minute, 5}} {
		b.now = b.now.Add(step.after)
		want := map[string]any{"a": "1", "always": map[string]any{"a": "1"}}
		if diff := cmp.Diff(want, b.facts(b.check())); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
		info, err := os.Stat(filepath.Join(b.dir, "runs"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != step.runs {
			t.Errorf("at %s: %d runs in all, want %d", b.now.Format(time.TimeOnly), info.Size(), step.runs)
		}
	}
}

func TestASlowCommandIsKilledAndCostsOnlyItself(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{command: ./slow, timeout: 200ms}, {file: a.json}]\n")
	b.write("a.json", `{"a": 1}`, 0o644)
	b.write("slow", "#!/bin/sh\nsleep 300 &\necho $! >pid\nwait\n", 0o755)
	began := time.Now()
	report := b.check()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	if diff := cmp.Diff(map[string]any{"a": 1.0}, b.facts(report)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if !strings.Contains(report.Message, "timeout of 200ms") {
		t.Errorf("message = %q", report.Message)
	}
	awaitGone(t, filepath.Join(b.dir, "pid"))
}

// A command whose own time-out is longer than the look leaves the others their facts.
func TestTheLooksTimeIsShared(t *testing.T) {
	b := newBench(t, "builtin: false\nsources: [{command: sleep 300}, {file: a.json}]\n")
	b.write("a.json", `{"a": 1}`, 0o644)
	report := b.w.Check(t.Context(), &watchers.Look{Directory: b.dir, At: b.now, Deadline: b.now.Add(300 * time.Millisecond)})
	if diff := cmp.Diff(map[string]any{"a": 1.0}, b.facts(report)); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestCommandsThatFail(t *testing.T) {
	tests := map[string]struct{ script, want string }{
		"exit status": {"echo a=1; echo hunter2 >&2; exit 3", "exit status 3"},
		"nonsense":    {"echo hello", "object of facts"},
		"flood":       {"yes a=1 | head -c 100000", "output_limit"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "builtin: false\nsources: [{command: ./script, output_limit: 1KiB}]\n")
			b.write("script", "#!/bin/sh\n"+tt.script+"\n", 0o755)
			report := b.check()
			if report.Outcome != machine.OutcomeFail || !strings.Contains(report.Message, tt.want) {
				t.Errorf("report = %s %q, want %q", report.Outcome, report.Message, tt.want)
			}
			if strings.Contains(report.Message, "hunter2") {
				t.Error("stderr is in the message")
			}
		})
	}
}

func TestCommandsGetNoneOfTheAgentsEnvironment(t *testing.T) {
	t.Setenv("AGENT_KEY", "hunter2")
	b := newBench(t, "builtin: false\nsources: [{command: env}]\n")
	document := b.facts(b.check())
	if document["AGENT_KEY"] != nil || document["PATH"] == nil {
		t.Errorf("environment = %v", document)
	}
}

func TestWrites(t *testing.T) {
	got := Type().Writes(&machine.WatcherSpec{Properties: node(t, "file: facts.json\n")})
	if diff := cmp.Diff([]string{"facts.json"}, got); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if got := Type().Writes(&machine.WatcherSpec{}); got != nil {
		t.Errorf("without properties: %v", got)
	}
}

func TestTypePrepares(t *testing.T) {
	prepared, list := Type().Prepare(&machine.WatcherSpec{Name: "facts", Type: "facts", Properties: node(t, "sources: [{command: facter -y, timeout: 1m}]\n")})
	if list.HasErrors() {
		t.Fatal(list)
	}
	if prepared.Timeout != 70*time.Second || prepared.Interval != 0 || prepared.Inline {
		t.Errorf("prepared = %+v", prepared)
	}
	if _, ok := prepared.New().(watchers.Checker); !ok {
		t.Error("not a Checker")
	}
	if _, list := Type().Prepare(&machine.WatcherSpec{Name: "facts", Type: "facts", Strict: true, Properties: node(t, "sourcez: []\n")}); !list.HasErrors() {
		t.Error("an unknown key is accepted")
	}
}
