package manifests_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/scenario"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// written is where manifests are kept as they were before groups, with every state written out.
const written = "../testdata/before-groups"

func loadText(t *testing.T, path string, src []byte) *machine.Definition {
	t.Helper()
	text := machine.Text{File: path, Source: src, Files: runtime.FilesOf(manifests.Files, filepath.Dir(path))}
	d, list := machine.LoadText(text, all.New(all.Services{}))
	if d == nil {
		t.Fatal(list)
	}
	return d
}

// eachWritten calls f with the manifests of before and those of now.
func eachWritten(t *testing.T, f func(t *testing.T, before, now *machine.Definition)) {
	old, err := filepath.Glob(written + "/*/*.yaml")
	if err != nil || len(old) == 0 {
		t.Fatalf("no manifests of before: %v", err)
	}
	for _, file := range old {
		path, err := filepath.Rel(written, file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(path, ".yaml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			is, err := manifests.Files.ReadFile(filepath.ToSlash(path))
			if err != nil {
				t.Fatal(err)
			}
			f(t, loadText(t, path, src), loadText(t, path, is))
		})
	}
}

// walk is a machine that is fired at random, with the trace of what came of it.
type walk struct {
	t     *testing.T
	rand  *rand.Rand
	trace bytes.Buffer
	write *machine.TraceWriter
	d     *machine.Definition
	s     machine.Snapshot
	at    time.Time
	taken map[string]bool // transitions, as state and event
}

func newWalk(t *testing.T, d *machine.Definition, state string, seed uint64) *walk {
	w := &walk{t: t, rand: rand.New(rand.NewPCG(seed, 1)), d: d, at: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), taken: map[string]bool{}}
	var err error
	if w.write, err = machine.NewTraceWriter(&w.trace, machine.HeaderFor(d, "host", w.at)); err != nil {
		t.Fatal(err)
	}
	start := d.Start(machine.Origin{Input: map[string]any{"machine": map[string]any{"checksum": "a"}, "password": "b"}}, w.at)
	d.MoveStart(&start, state)
	w.s = machine.Snapshot{}.Apply(&start, "first")
	if err := w.write.Snapshot(w.s); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *walk) record(r machine.Record) {
	w.t.Helper()
	raw, head, err := machine.EncodeRecord(&r)
	if err == nil {
		err = w.write.Record(raw)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Kind == machine.RecordTransition || r.Kind == machine.RecordStay {
		w.taken[r.From+" "+r.Event] = true
	}
	w.s = w.s.Apply(&r, head)
}

func (w *walk) text() string {
	texts := []string{"", "a", "b", "behind", "stopped", "shutdown", "revoked", "deny", "root", "spec"}
	return texts[w.rand.IntN(len(texts))]
}

func (w *walk) flag() bool { return w.rand.IntN(2) > 0 }

// payload has what any of the events brings, some of it missing and, where odd, some of it of another type.
func (w *walk) payload(depth int, odd bool) map[string]any {
	out := map[string]any{
		"pending": w.flag(), "expired": w.flag(), "room": w.flag(), "current": w.flag(), "replaces": w.flag(), "serial": w.rand.IntN(9), "root": w.rand.IntN(9),
		"names": []any{w.text()}, "unknown": []any{w.text()}, "tokens": []any{"node", w.text(), w.text()}, "at": "2026-03-02T10:00:00Z",
		"more": w.flag(), "roots": []any{w.text()}, "specs": map[string]any{"default": w.text()}, "digests": map[string]any{"default": w.text()},
	}
	for _, key := range []string{
		"token", "id", "answer", "reason", "cause", "cell", "checksum", "verify_checksum", "error", "reply", "public_key", "join_id", "directory",
		"head", "sum", "release", "upgrade", "password", "token_id", "proof", "detail", "digest", "channel",
	} {
		out[key] = w.text()
	}
	if depth > 0 {
		for _, key := range []string{"body", "document", "machine", "broker"} {
			out[key] = w.payload(depth-1, odd)
		}
	}
	if w.flag() {
		out["document"] = w.text()
	}
	for _, key := range slices.Sorted(maps.Keys(out)) {
		switch n := w.rand.IntN(40); {
		case !odd:
		case n == 0:
			delete(out, key)
		case n < 3:
			out[key] = []any{w.rand.IntN(9)}
		}
	}
	return out
}

// fire fires an event with any payload.
func (w *walk) fire(event string, odd bool) {
	w.at = w.at.Add(time.Duration(w.rand.IntN(3600)) * time.Second)
	ev := machine.Event{Name: event, Payload: w.payload(1, odd), Cause: machine.Cause{Kind: machine.CauseOperator}}
	w.record(w.d.Step(&w.s, ev, w.at))
}

// leaving returns the events that a state takes, in the manifest's order; those that every state takes only now and then.
func (w *walk) leaving() []string {
	var events []string
	for _, tr := range w.d.Manifest.Transitions {
		if slices.Contains(tr.From, w.s.State) || slices.Contains(tr.From, "*") && w.rand.IntN(20) == 0 {
			events = append(events, tr.Name)
		}
	}
	return events
}

// steps fires events that the states take.
func (w *walk) steps(n int, odd bool) {
	for range n {
		if events := w.leaving(); len(events) > 0 {
			w.fire(events[w.rand.IntN(len(events))], odd)
		}
	}
}

// sameData leaves out what has no value.
func sameData(a, b map[string]any) bool {
	return cmp.Equal(a, b, cmpopts.EquateEmpty())
}

func (w *walk) replay(d *machine.Definition, load machine.LoadManifest) machine.Snapshot {
	w.t.Helper()
	r, err := machine.NewTraceReader("trace", bytes.NewReader(w.trace.Bytes()))
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := machine.Replay(r, d, load, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// TestTracesOfWrittenOutStatesReplay has the manifests of before decide what comes at random in every state, and holds those of now
// to decide the same: guards, data, states and reasons.
func TestTracesOfWrittenOutStatesReplay(t *testing.T) {
	eachWritten(t, func(t *testing.T, before, now *machine.Definition) {
		taken := map[string]bool{}
		for i, state := range before.States() {
			first := newWalk(t, before, state, 0).leaving()
			for seed := range uint64(2 * len(first)) {
				w := newWalk(t, before, state, uint64(i)<<16|seed)
				w.fire(first[seed/2], seed%2 > 0)
				w.steps(20, seed%2 > 0)
				if s := w.replay(now, nil); s.State != w.s.State {
					t.Errorf("%s in place of %s", s.State, w.s.State)
				}
				for step := range w.taken {
					taken[step] = true
				}
			}
		}
		for _, tr := range before.Manifest.Transitions {
			for _, from := range tr.From {
				if from != "*" && tr.When == "" && !taken[from+" "+tr.Name] {
					t.Errorf("%s was never taken in %s", tr.Name, from)
				}
			}
		}
	})
}

// TestJournalsOfWrittenOutStatesGoOn changes the manifest in the middle, in every state.
func TestJournalsOfWrittenOutStatesGoOn(t *testing.T) {
	eachWritten(t, func(t *testing.T, before, now *machine.Definition) {
		for i, state := range before.States() {
			w := newWalk(t, before, state, uint64(i))
			w.steps(10, false)
			was := w.s
			if err := w.write.Manifest(string(now.Manifest.Source)); err != nil {
				t.Fatal(err)
			}
			w.d = now
			w.record(now.Replace(&w.s, w.at))
			if w.s.State != was.State || !sameData(w.s.Data, was.Data) || !w.s.Entered.Equal(was.Entered) || w.s.Fired != was.Fired {
				t.Errorf("%+v became %+v", was, w.s)
			}
			w.steps(30, true)
			s := w.replay(before, func(string) (*machine.Definition, error) { return now, nil })
			if s.State != w.s.State || s.Head != w.s.Head {
				t.Errorf("the journal leads to %s, its replay to %s", w.s.State, s.State)
			}
		}
	})
}

// TestAStepMoreInTheHandshakeIsOneEdit adds a state between the assignment and its staging, in which a program of the site looks at it:
// the listener goes on, and a node that moves keeps its session.
func TestAStepMoreInTheHandshakeIsOneEdit(t *testing.T) {
	dir := t.TempDir()
	edit := func(name string, edits ...string) {
		src, err := manifests.Files.ReadFile("node/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(src)
		for i := 0; i < len(edits); i += 2 {
			if strings.Count(text, edits[i]) != 1 {
				t.Fatalf("%s has %d times %q", name, strings.Count(text, edits[i]), edits[i])
			}
			text = strings.Replace(text, edits[i], edits[i+1], 1)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	edit("health.yaml")
	edit("enrollment.yaml",
		"[hearing, judging, assigned, staging]", "[hearing, judging, assigned, vetting, staging]", // the one edit of what was there
		"  staging: {after: {1m: try_again}}", "  vetting: {after: {1m: try_again}}\n  staging: {after: {1m: try_again}}",
		"destination: staging, set: {document: event.payload.document}}",
		"destination: vetting, set: {document: event.payload.document}}\n  - {name: vetted, from: [vetting], destination: staging}\n"+
			"  - {name: vet_refused, from: [vetting], destination: pending}",
		"\nwatchers:\n", "\nwatchers:\n  - {name: vet, type: exec, state_match: [vetting], success_transition: vetted, fail_transition: vet_refused,\n"+
			"     properties: {command: /bin/true}}\n",
	)
	if err := os.WriteFile(filepath.Join(dir, "enrollment_test.yaml"), []byte(vetting), 0o644); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "enrollment.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, found := machine.LoadText(machine.Text{File: "enrollment.yaml", Source: text}, all.New(all.Services{}))
	for _, f := range found {
		if f.Severity != diag.Note {
			t.Errorf("check finds %s", f)
		}
	}
	report, list, err := scenario.Run(t.Context(), filepath.Join(dir, "enrollment"+scenario.Suffix), all.New(all.Services{}))
	if err != nil || len(list) > 0 {
		t.Fatalf("%v %v", err, list)
	}
	for _, result := range report.Tests {
		for _, f := range result.Failures {
			t.Errorf("%s: %s\n%s", result.Name, f, strings.Join(result.Transcript, "\n"))
		}
	}
}

const vetting = `identity: n1.example.net
with: [health.yaml]
tests:
  - name: a new node joins by way of the site's program
    state: assigned
    steps:
      - expect: {state: assigned, looking: [check_assignment, listener]}
      - outcome: {watcher: check_assignment, outcome: success, payload: {document: {cell: main}}}
      - expect: {state: vetting, looking: [listener, vet]}
      - outcome: {watcher: vet, outcome: success}
      - expect: {state: staging, looking: [listener, stage]}
      - outcome: {watcher: stage, outcome: success}
      - outcome: {watcher: accept, outcome: success}
      - outcome: {watcher: switch, outcome: success, payload: {token_id: t1}}
      - outcome: {watcher: cell, outcome: success}
      - outcome: {watcher: confirm, outcome: success}
      - outcome: {watcher: commit, outcome: success}
      - expect: {state: active}
  - name: a node that moves keeps its session
    state: assigned
    data: {moving: 1700000000}
    steps:
      - outcome: {watcher: check_assignment, outcome: success, payload: {document: {cell: main}}}
      - expect: {state: vetting, looking: [listener, session, vet]}
  - name: a connection that is cut is made again
    state: vetting
    steps:
      - outcome: {watcher: listener, outcome: success}
      - expect: {state: introducing}
  - name: a program that never ends is not waited for
    state: vetting
    steps:
      - hang: vet
      - advance: 11s
      - expect: {state: pending, event: vet_refused}
  - name: what the site's program refuses is not taken
    state: vetting
    steps:
      - outcome: {watcher: vet, outcome: fail}
      - expect: {state: pending}
`
