package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestStateAndHistorySurviveReopening(t *testing.T) {
	for _, size := range []int64{1, 300, 16 << 20} {
		t.Run(fmt.Sprint("segments of ", size), func(t *testing.T) {
			dir := t.TempDir()
			var want lines
			for round := range 4 {
				h := startHost(t, dir, segmentBytes(size))
				for i := range 10 {
					key, value := fmt.Sprint("k", i%3), fmt.Sprint(round*10+i)
					h.mustPut(t, key, value)
					want = append(want, key+"="+value)
				}
				if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
					t.Errorf("history, round %d: %s", round, diff)
				}
				state := h.states()
				h.close(t)
				if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
					t.Errorf("read folder, round %d: %s", round, diff)
				}
				again := startHost(t, dir)
				if diff := cmp.Diff(state, again.states()); diff != "" {
					t.Errorf("state, round %d: %s", round, diff)
				}
				if s := again.j.Status(); !s.Durable || len(s.Damage)+len(s.Gaps) != 0 || s.Records != int64(len(want)) {
					t.Errorf("status: %+v", s)
				}
				again.close(t)
			}
		})
	}
}

func TestHistoryOfOneKey(t *testing.T) {
	h := startHost(t, t.TempDir(), segmentBytes(200))
	h.mustPut(t, "a", numbers(0, 9)...)
	h.mustPut(t, "b", "x")
	h.mustPut(t, "a", "9")
	if diff := cmp.Diff(lines{"b=x"}, h.history(t, "b")); diff != "" {
		t.Error(diff)
	}
	if got := h.history(t, "nobody"); len(got) != 0 {
		t.Errorf("records of nobody: %v", got)
	}
}

func TestHistoryEnds(t *testing.T) {
	h := startHost(t, t.TempDir())
	h.mustPut(t, "a", "1", "2")
	enough := errors.New("enough")
	seen := 0
	err := h.j.History(t.Context(), "", func(Entry) error { seen++; return enough })
	if !errors.Is(err, enough) || seen != 1 {
		t.Errorf("after %d entries: %v", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.j.History(ctx, "", (&lines{}).add); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled history: %v", err)
	}
	h.close(t)
	if err := h.j.History(t.Context(), "", (&lines{}).add); !errors.Is(err, ErrClosed) {
		t.Errorf("history after close: %v", err)
	}
}

func TestReadDirWithoutLog(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "absent")} {
		if err := ReadDir(t.Context(), dir, "", nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestDoneIsCalledInOrderOnOneGoroutine(t *testing.T) {
	h := startHost(t, t.TempDir(), segmentBytes(2000))
	const writers, each = 20, 50
	last := make([]int, writers) // without a lock: the race detector sees a second goroutine
	var all sync.WaitGroup
	all.Add(writers * each)
	for w := range writers {
		go func() {
			for i := 1; i <= each; i++ {
				h.send(fmt.Sprint(w), fmt.Sprint(i), func(err error) {
					if err != nil || i != last[w]+1 {
						t.Errorf("writer %d: %d after %d: %v", w, i, last[w], err)
					}
					last[w] = i
					all.Done()
				})
			}
		}()
	}
	all.Wait()
	if got := len(h.history(t, "")); got != writers*each {
		t.Errorf("%d records of %d", got, writers*each)
	}
}

func TestHistoryBesideAppendsAndRetention(t *testing.T) {
	h := startHost(t, t.TempDir(), segmentBytes(500), func(o *Options) { o.KeepRecords = 40 })
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 400 {
			if err := h.put("k", fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		var prev int
		err := h.j.History(t.Context(), "", func(e Entry) error {
			var n int
			if _, err := fmt.Sscan(string(e.Data), &n); e.Kind == KindRecord && (err != nil || n < prev) {
				return fmt.Errorf("%d after %d: %w", n, prev, err)
			}
			prev = n
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	writer.Wait()
}

func TestAppendRefuses(t *testing.T) {
	h := startHost(t, t.TempDir())
	for name, c := range map[string]struct {
		key, data string
		want      error
	}{
		"data": {"k", strings.Repeat("x", MaxRecord+1), ErrTooLarge},
		"key":  {strings.Repeat("k", MaxKey+1), "", ErrTooLarge},
		"most": {strings.Repeat("k", MaxKey), strings.Repeat("x", MaxRecord), nil},
		"none": {"", "", nil},
	} {
		if err := h.put(c.key, c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if s := h.j.Status(); !s.Durable || s.Records != 2 {
		t.Errorf("status: %+v", s)
	}
	h.close(t)
	if err := h.put("k", "late"); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if err := h.j.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestAppendKeepsNoReference(t *testing.T) {
	h := startHost(t, t.TempDir())
	data, done := []byte("good"), make(chan error, 1)
	h.j.Append("k", data, func(err error) { done <- err })
	copy(data, "evil")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines{"k=good"}, h.history(t, "")); diff != "" {
		t.Error(diff)
	}
}

func TestPendingIsBounded(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(entered); <-release })
	h := startHost(t, t.TempDir(), func(o *Options) {
		o.Hook = func(point string) {
			if point == "write" {
				first()
			}
		}
	})
	h.j.room = 1000
	results := make(chan error, 5)
	report := func(err error) { results <- err }
	h.send("k", "1", report)
	<-entered
	for range 4 {
		h.send("k", strings.Repeat("x", 400), report)
	}
	close(release)
	var got []bool
	for range 5 {
		got = append(got, errors.Is(<-results, ErrFull))
	}
	if diff := cmp.Diff([]bool{false, false, false, true, true}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneProcessHasTheLog(t *testing.T) {
	dir := t.TempDir()
	h := startHost(t, dir)
	_, err := openHost(dir)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("second open: %v", err)
	}
	h.mustPut(t, "k", "1")
	h.close(t)
	startHost(t, dir)
}

func TestOpenFailsWithoutChange(t *testing.T) {
	dir := t.TempDir()
	h := startHost(t, dir)
	h.mustPut(t, "k", "1")
	h.close(t)
	wrong := errors.New("wrong")
	_, err := Open(Options{Dir: dir, Checkpoint: h.checkpoint, Now: time.Now}, func(Entry) error { return wrong })
	if !errors.Is(err, wrong) {
		t.Errorf("refused replay: %v", err)
	}
	if _, err := Open(Options{Dir: dir, Now: time.Now}, h.replay); err == nil {
		t.Error("opened without a checkpoint function")
	}
	if again := startHost(t, dir); again.states()["k"] != "1" {
		t.Errorf("state: %v", again.states())
	}
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "log")
	startHost(t, dir)
	for _, path := range []string{dir, filepath.Join(dir, segmentName(1)), filepath.Join(dir, LockName)} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := startHost(t, t.TempDir(), func(o *Options) { o.Metrics = reg })
	h.mustPut(t, "k", "1", "2")
	got := gathered(t, reg)
	for name, want := range map[string]float64{"records_total": 2, "batches_total": 2, "durable": 1} {
		if got["statecraft_journal_"+name] != want {
			t.Errorf("%s is %v, want %v", name, got["statecraft_journal_"+name], want)
		}
	}
	if got["statecraft_journal_segments_bytes"] != float64(h.j.Status().Bytes) {
		t.Errorf("segments_bytes: %v, status: %+v", got, h.j.Status())
	}
	h.close(t)
	if left := gathered(t, reg); len(left) != 0 {
		t.Errorf("metrics after close: %v", left)
	}
}

func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		out[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return out
}

// TestSegmentsAreExtendedAhead wants records to go into what was preallocated, and a closed log to be without it.
func TestSegmentsAreExtendedAhead(t *testing.T) {
	dir := t.TempDir()
	h := startHost(t, dir)
	path := filepath.Join(dir, segmentName(1))
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	h.mustPut(t, "k", "1")
	before := size()
	h.mustPut(t, "k", numbers(2, 50)...)
	if before != minStep || size() != before {
		t.Errorf("%d bytes after one record, %d after 50", before, size())
	}
	synced := h.j.Status().Synced
	h.close(t)
	if size() != synced {
		t.Errorf("%d bytes when closed, %d synced", size(), synced)
	}
}

// TestReadDirBesideAHost wants a frame that a running host is in the middle of writing to be no damage.
func TestReadDirBesideAHost(t *testing.T) {
	dir := t.TempDir()
	h := startHost(t, dir)
	h.mustPut(t, "k", "1")
	file, err := os.OpenFile(filepath.Join(dir, segmentName(1)), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte{9, 0, 0, 0, 1}, h.j.Status().Synced); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines{"k=1"}, readDir(t, dir, "")); diff != "" {
		t.Errorf("while the host runs: %s", diff)
	}
	lock := filepath.Join(dir, LockName)
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines{"k=1", "!damage -1"}, readDir(t, dir, "")); diff != "" {
		t.Errorf("without a host: %s", diff)
	}
}
