package machinetest_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/machinetest"
)

var update = flag.Bool("update", false, "rewrite the golden transcripts")

// catalogue has one type, without payloads or properties.
type catalogue struct{}

func (catalogue) Find(name string) (*machine.WatcherType, bool) {
	return &machine.WatcherType{Name: "look", Check: func(*machine.WatcherSpec) diag.List { return nil }}, name == "look"
}

func (catalogue) Names() []string { return []string{"look"} }

func TestGoldenTranscripts(t *testing.T) {
	files, err := filepath.Glob("../../testdata/transcripts/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			machinetest.Golden(t, file, catalogue{}, *update)
		})
	}
}

// recorder notes failures instead of failing.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(r)
}
func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// failures returns what a function reports to the test that it is given.
func failures(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				panic(p)
			}
		}()
		f(r)
	}()
	return strings.Join(r.failures, "\n")
}

const manifest = `format: 1
name: door
version: 1.0.0
initial_state: closed
transitions:
  - {name: open, from: [closed], destination: opened}
  - {name: close, from: [opened], destination: closed}
watchers:
  - {name: hand, type: look, state_match: [closed], success_transition: open}
  - {name: spring, type: look, state_match: [opened], success_transition: close}
`

func write(t *testing.T, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestGoldenReportsADifference(t *testing.T) {
	golden := string(txtar.Format(&txtar.Archive{Files: []txtar.File{
		{Name: "machine.yaml", Data: []byte(manifest)}, {Name: "events", Data: []byte("event open\n")}, {Name: "transcript", Data: []byte("wrong\n")},
	}}))
	path := write(t, "door.txtar", golden)
	check := func(update bool) string {
		return failures(t, func(tb testing.TB) { machinetest.Golden(tb, path, catalogue{}, update) })
	}
	if got := check(false); !strings.Contains(got, "closed --open--> opened") {
		t.Errorf("reported %q", got)
	}
	if got := check(true) + check(false); got != "" {
		t.Errorf("after an update: %s", got)
	}
}

func TestGoldenRefusesWhatItCannotRun(t *testing.T) {
	d, list := machine.Load("door.yaml", []byte(manifest), catalogue{})
	if list.HasErrors() {
		t.Fatal(list)
	}
	for _, line := range []string{
		"nonsense", "event", "event open x", "outcome nobody success", "outcome hand neutral", "outcome spring success", "deadline 1m", "deadline soon", "at soon", "data =1", "restart now",
	} {
		if _, err := machinetest.Run(d, "\n"+line); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: error %v, want one with its line", line, err)
		}
	}
}

// trace records a door that is opened and closed.
func trace(t *testing.T) string {
	d, list := machine.Load("door.yaml", []byte(manifest), catalogue{})
	if list.HasErrors() {
		t.Fatal(list)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	w, err := machine.NewTraceWriter(&out, machine.HeaderFor(d, "host", at))
	if err != nil {
		t.Fatal(err)
	}
	var s machine.Snapshot
	add := func(r machine.Record) {
		raw, head, err := machine.EncodeRecord(&r)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Record(raw); err != nil {
			t.Fatal(err)
		}
		s = s.Apply(&r, head)
	}
	add(d.Start(machine.Origin{}, at))
	add(d.Step(&s, machine.Event{Name: "open"}, at))
	add(d.Step(&s, machine.Event{Name: "close"}, at))
	return write(t, "door.trace", out.String())
}

func TestReplay(t *testing.T) {
	path := trace(t)
	machinetest.Replay(t, write(t, "door.yaml", manifest), path, catalogue{})
	for name, c := range map[string]struct{ manifest, trace, want string }{
		"changed":     {write(t, "door.yaml", strings.Replace(manifest, "destination: opened", `destination: opened, when: "at < date('2000-01-01')"`, 1)), path, ":3: SC708 record 2"},
		"no manifest": {"missing.yaml", path, "reading the manifest"},
		"broken":      {write(t, "door.yaml", "name: [}"), path, "SC001"},
		"no trace":    {write(t, "door.yaml", manifest), "missing.trace", "opening the trace"},
		"not a trace": {write(t, "door.yaml", manifest), write(t, "x.trace", "hello"), "SC701"},
	} {
		if got := failures(t, func(tb testing.TB) { machinetest.Replay(tb, c.manifest, c.trace, catalogue{}) }); !strings.Contains(got, c.want) {
			t.Errorf("%s: reported %q, want %q", name, got, c.want)
		}
	}
}
