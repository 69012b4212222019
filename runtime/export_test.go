package runtime_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/machinetest"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

const ticker = `
format: 1
name: ticker
version: VERSION
initial_state: tick
data:
	count: {type: integer, default: 0}
transitions:
	- {name: next, from: [tick], destination: tock, set: {count: data.count + 1}}
	- {name: next, from: [tock], destination: tick, set: {count: data.count + 1}}
watchers:
	- {name: check, type: probe, state_match: [tock], when: data.count > 1000000}
`

func tickerOf(version string) string { return strings.ReplaceAll(ticker, "VERSION", version) }

// ticks fires at the ticker n times, and at a second machine so that a gap holds records of others too.
func (h *host) ticks(n int) {
	h.t.Helper()
	for range n {
		for _, name := range []string{"ticker", "other"} {
			if _, err := h.Fire(h.t.Context(), name, "next", map[string]any{"fill": strings.Repeat("x", 500)}, "test"); err != nil {
				h.t.Fatal(err)
			}
		}
	}
}

func other() string { return strings.Replace(tickerOf("1.0.0"), "name: ticker", "name: other", 1) }

// keptUnless has manifests taken from the state folder where a test names none.
func keptUnless(defs []*machine.Definition) machine.Catalogue {
	if len(defs) > 0 {
		return nil
	}
	return newFakes()
}

// exported writes the trace of the ticker and replays it.
func exported(t *testing.T, dir string, defs ...*machine.Definition) (trace string, done runtime.Exported, last machine.Snapshot) {
	t.Helper()
	var b bytes.Buffer
	done, err := runtime.Export{
		StateDir: dir, Machine: "ticker", Host: "n1", Definitions: defs, Catalogue: keptUnless(defs), At: start,
	}.Write(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	r, err := machine.NewTraceReader("trace", bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	of := func(text string) (*machine.Definition, error) {
		d, list := machine.Load("trace", []byte(text), newFakes())
		return d, list.Err()
	}
	first, err := of(r.Header().Manifest)
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	last, err = machine.Replay(r, first, of, func(l *machine.TraceLine, _ *machine.Snapshot) {
		if l.Record != nil {
			records++
		}
	})
	if err != nil || records != done.Records {
		t.Fatalf("replay of %d of %d records: %v", records, done.Records, err)
	}
	return b.String(), done, last
}

func TestExportIsReplayed(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"), other())
	h.ticks(20)
	d, _ := h.Definition("ticker")
	trace, done, last := exported(t, dir, d)
	if diff := cmp.Diff(runtime.Exported{Records: 21}, done); diff != "" || last.Seq != 21 || strings.Contains(trace, `{"gap"`) {
		t.Errorf("state %+v, -want +got\n%s", last, diff)
	}
}

// TestExportIsReplayedByAUsersTest is what docs/replay.md shows: a trace of a running host beside the manifest, in a go test.
func TestExportIsReplayedByAUsersTest(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"), other())
	h.ticks(5)
	d, _ := h.Definition("ticker")
	trace, _, _ := exported(t, dir, d)
	files := t.TempDir()
	for name, text := range map[string]string{"machine.yaml": string(d.Manifest.Source), "ticker.trace": trace} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	machinetest.Replay(t, filepath.Join(files, "machine.yaml"), filepath.Join(files, "ticker.trace"), newFakes())
}

// A history that retention has cut begins with a gap and a snapshot.
func TestExportOfACutHistory(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{
		StateDir: dir, Catalogue: newFakes(),
		Journal: journal.Options{SegmentBytes: 16 << 10, KeepBytes: 48 << 10},
	})
	h.deploy(tickerOf("1.0.0"), other())
	h.ticks(150)
	d, _ := h.Definition("ticker")
	trace, done, last := exported(t, dir, d)
	if done.Gaps != 1 || done.LeftOut != 0 || done.Records < 5 || done.Records > 149 {
		t.Errorf("exported %+v", done)
	}
	lines := strings.Split(trace, "\n")
	if !strings.HasPrefix(lines[1], `{"gap":{"reason":"retention"`) || !strings.HasPrefix(lines[2], `{"snapshot":`) {
		t.Errorf("the trace begins with\n%.300s\n%.300s", lines[1], lines[2])
	}
	if last.Seq != 151 || last.Data["count"] != 150 {
		t.Errorf("the replay ends in %+v", last)
	}
}

func TestExportAcrossManifests(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"), other())
	old, _ := h.Definition("ticker")
	h.ticks(3)
	h.deploy(tickerOf("2.0.0"))
	h.ticks(3)
	now, _ := h.Definition("ticker")

	for name, c := range map[string]struct {
		defs []*machine.Definition
		want runtime.Exported
		seq  uint64
	}{
		"both": {[]*machine.Definition{old, now}, runtime.Exported{Records: 8}, 8},
		"new":  {[]*machine.Definition{now}, runtime.Exported{Records: 4, LeftOut: 4, Gaps: 1}, 8},
		"old":  {[]*machine.Definition{old}, runtime.Exported{Records: 4, LeftOut: 4, Gaps: 1}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			_, done, last := exported(t, dir, c.defs...)
			if diff := cmp.Diff(c.want, done); diff != "" || last.Seq != c.seq {
				t.Errorf("ends at record %d, want %d; -want +got\n%s", last.Seq, c.seq, diff)
			}
		})
	}
}

// What is damaged is a gap, and what comes after it is replayed from the checkpoint behind it.
func TestExportOfADamagedHistory(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes(), Journal: journal.Options{SegmentBytes: 16 << 10}})
	h.deploy(tickerOf("1.0.0"), other())
	h.ticks(60)
	d, _ := h.Definition("ticker")
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.log"))
	if err != nil || len(segments) < 3 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	slices.Sort(segments)
	b, err := os.ReadFile(segments[1])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/3+bytes.Index(b[len(b)/3:], []byte("\x01\x06ticker{"))+10] ^= 1 // a record of the ticker
	if err := os.WriteFile(segments[1], b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, done, last := exported(t, dir, d)
	if done.Gaps == 0 || done.Records+done.LeftOut != 60 || done.Records < 30 || last.Seq != 61 {
		t.Errorf("exported %+v, ends at record %d", done, last.Seq)
	}
}

func TestExportOfNothing(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"), other())
	h.ticks(1)
	foreign := load(t, newFakes(), tickerOf("9.0.0"))
	for name, x := range map[string]runtime.Export{
		"unknown machine":  {StateDir: dir, Machine: "nobody", Definitions: []*machine.Definition{foreign}},
		"unknown manifest": {StateDir: dir, Machine: "ticker", Definitions: []*machine.Definition{foreign}},
	} {
		var b bytes.Buffer
		if _, err := x.Write(t.Context(), &b); !errors.Is(err, runtime.ErrNotExportable) || b.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, b.Len())
		}
	}
	if _, err := (runtime.Export{StateDir: t.TempDir(), Machine: "ticker"}).Write(t.Context(), &bytes.Buffer{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty state folder: %v", err)
	}
}

func TestReadSnapshotsIsWhatTheHostHas(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{
		StateDir: dir, Catalogue: newFakes(),
		Journal: journal.Options{SegmentBytes: 16 << 10, KeepBytes: 48 << 10},
	})
	h.deploy(tickerOf("1.0.0"), other())
	for _, n := range []int{1, 70} {
		h.ticks(n)
		got, err := runtime.ReadSnapshots(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		read := map[string]string{}
		for _, name := range []string{"ticker", "other"} {
			d, err := h.Machine(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			want[name] = fmt.Sprint(d.State, d.Seq, d.Epoch, d.Since, d.Data)
			s := got[name]
			read[name] = fmt.Sprint(s.State, s.Seq, s.Epoch, s.Entered, s.Data)
		}
		if diff := cmp.Diff(want, read); diff != "" || len(got) != 2 {
			t.Errorf("-host +read\n%s", diff)
		}
	}
}
