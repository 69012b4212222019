package runtime_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// recordedEvents is how many events the counter of a damaged log had taken.
const recordedEvents = 40

// recorded makes a state folder in which the counter has taken all of its events.
func recorded(t *testing.T, segmentBytes int64) (dir string) {
	t.Helper()
	dir = t.TempDir()
	h := counterHost(t, dir, journal.Options{SegmentBytes: segmentBytes})
	h.add(0, recordedEvents)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func counterHost(t *testing.T, dir string, opts journal.Options) *host {
	t.Helper()
	h := runHost(t, runtime.Config{Catalogue: newFakes(), StateDir: dir, Journal: opts})
	h.deploy(crashCounter)
	return h
}

// add fires the counter's events from one to before another, which must be stored.
func (h *host) add(from, to int) {
	h.t.Helper()
	for i := from; i < to; i++ {
		if f := h.fire("counter", crashEvent("counter", i)); !f.Durable {
			h.t.Fatalf("event %d is not durable: %+v", i, f)
		}
	}
}

func (h *host) fire(name, event string) runtime.Fired {
	h.t.Helper()
	f, err := h.Fire(h.t.Context(), name, event, nil, "op")
	if err != nil {
		h.t.Fatal(err)
	}
	return f
}

func (h *host) detail(name string) runtime.MachineDetail {
	h.t.Helper()
	d, err := h.Machine(h.t.Context(), name)
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

// counterAfter is where n events lead to by the definition alone.
func counterAfter(t testing.TB, n int) machine.Snapshot {
	t.Helper()
	def := load(t, newFakes(), crashCounter)
	r := def.Start(machine.Origin{}, start)
	model := machine.Snapshot{}.Apply(&r, "")
	for i := range n {
		r := def.Step(&model, machine.Event{Name: crashEvent("counter", i)}, start)
		model = model.Apply(&r, "")
	}
	return model
}

// wantCounter wants the counter to be where n events lead to.
func (h *host) wantCounter(n int) {
	h.t.Helper()
	eventually(h.t, "the counter has started", func() bool { return h.detail("counter").Seq > 0 })
	got, want := h.detail("counter"), counterAfter(h.t, n)
	if diff := cmp.Diff(want.Data, got.Data); got.State != want.State || diff != "" {
		h.t.Fatalf("the counter is in %s, want that of %d events: %s (-want +got):\n%s", got.State, n, want.State, diff)
	}
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "journal", "seg-*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	return files
}

func spoil(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// keptEvents counts the operator's events that are in the log, up to the first place where some are missing.
func keptEvents(t *testing.T, dir string) (n int) {
	t.Helper()
	lost := errors.New("records are missing")
	err := runtime.ReadHistory(t.Context(), dir, "counter", func(e runtime.HistoryEntry) error {
		switch {
		case e.Gap != nil:
			return lost
		case e.Record.Cause.Kind == machine.CauseOperator:
			n++
		}
		return nil
	})
	if err != nil && !errors.Is(err, lost) {
		t.Fatal(err)
	}
	return n
}

// TestA02DamagedLog wants a host to open whatever happened to its log, with the last good prefix, and to say so.
func TestA02DamagedLog(t *testing.T) {
	flip := func(event string) func([]byte) []byte {
		return func(d []byte) []byte {
			d[bytes.LastIndex(d, []byte(`"event":"`+event+`"`))+2] ^= 4
			return d
		}
	}
	for name, c := range map[string]struct {
		segment int64
		damage  func([]byte) []byte
		left    int // events; -1 where it depends on the segments
	}{
		"last record torn":             {16 << 20, func(d []byte) []byte { return bytes.TrimRight(d, "\x00")[:len(bytes.TrimRight(d, "\x00"))-3] }, recordedEvents - 1},
		"bit flipped":                  {16 << 20, flip("reset"), recordedEvents - 6},
		"newest segment empty":         {4 << 10, func([]byte) []byte { return nil }, -1},
		"newest checkpoint flipped":    {4 << 10, func(d []byte) []byte { d[200] ^= 1; return d }, -1},
		"newest header flipped":        {4 << 10, func(d []byte) []byte { d[40] ^= 1; return d }, -1},
		"only segment empty":           {16 << 20, func([]byte) []byte { return nil }, 0},
		"only segment is another file": {16 << 20, func(d []byte) []byte { return []byte("hello") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := recorded(t, c.segment)
			files := segments(t, dir)
			spoil(t, files[len(files)-1], c.damage)
			left := c.left
			if left < 0 {
				if left = keptEvents(t, dir); left == 0 || left == recordedEvents {
					t.Fatalf("%d of %d events left in %d segments", left, recordedEvents, len(files))
				}
			}
			h := counterHost(t, dir, journal.Options{SegmentBytes: c.segment})
			if health := h.Health(); !health.Durable || len(health.Degraded) != 1 {
				t.Errorf("health %+v", health)
			}
			h.wantCounter(left)
			h.add(left, left+5)
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			h = counterHost(t, dir, journal.Options{SegmentBytes: c.segment})
			if health := h.Health(); !health.Durable || len(health.Degraded) != 0 {
				t.Errorf("health after another restart: %+v", health)
			}
			h.wantCounter(left + 5)
		})
	}
}

// TestA13NewerLogIsRefused wants the log of a newer release to be refused and left alone.
func TestA13NewerLogIsRefused(t *testing.T) {
	dir := recorded(t, 4<<10)
	files := segments(t, dir)
	spoil(t, files[len(files)-1], func(d []byte) []byte {
		binary.LittleEndian.PutUint16(d[8:], binary.LittleEndian.Uint16(d[8:])+1)
		binary.LittleEndian.PutUint32(d[12:], crc32.Checksum(d[:12], crc32.MakeTable(crc32.Castagnoli)))
		return d
	})
	before := contents(t, dir)
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	_, err = runtime.New(runtime.Config{Identity: "n1", Catalogue: newFakes(), Clock: real, Log: quiet(), StateDir: dir})
	if !errors.Is(err, journal.ErrNewer) {
		t.Errorf("opening: %v", err)
	}
	if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
		t.Errorf("the log was changed:\n%s", diff)
	}
}

func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, path := range segments(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = data
	}
	return out
}

// TestA02AHostSaysThatItsLogIsGone removes the log, with its mark or without: the manifests of what ran are still there.
func TestA02AHostSaysThatItsLogIsGone(t *testing.T) {
	for _, gone := range [][]string{{"journal"}, {"journal", "journal.mark"}} {
		dir := t.TempDir()
		h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
		h.deploy(tickerOf("1.0.0"))
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
		for _, name := range gone {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"the whole log is gone", ""} {
			h = runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
			degraded := strings.Join(h.Health().Degraded, "; ")
			if want == "" && degraded != "" || !strings.Contains(degraded, want) {
				t.Errorf("without %v the host is degraded: %q, want %q", gone, degraded, want)
			}
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
