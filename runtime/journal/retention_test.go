package journal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRetention drops by each limit, says what it dropped, and never loses state.
func TestRetention(t *testing.T) {
	for name, limit := range map[string]func(*Options){
		"bytes":   func(o *Options) { o.KeepBytes = 1000 },
		"records": func(o *Options) { o.KeepRecords = 30 },
		"age":     func(o *Options) { o.KeepAge = 30 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { retention(t, limit) })
		})
	}
}

func retention(t *testing.T, limit func(*Options)) {
	dir, now := t.TempDir(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	began := now
	tick := func(o *Options) { o.Now = func() time.Time { now = now.Add(time.Second); return now } }
	h := startHost(t, dir, limit, tick, segmentBytes(400))
	h.mustPut(t, "first", "0")
	h.mustPut(t, "k", numbers(1, 200)...)
	synctest.Wait() // until the committer has rotated, which may come after the last done
	checkRetention(t, h.history(t, ""), h.j.Status(), 200)
	if n := len(segmentFiles(t, dir)); n != len(h.j.segs) {
		t.Errorf("%d files of %d segments", n, len(h.j.segs))
	}
	if first := h.j.Status().Gaps[0].First; first.Sub(began) > 5*time.Second {
		t.Errorf("the gap begins at %v", first)
	}
	h.close(t)
	h = startHost(t, dir, limit, tick, segmentBytes(400))
	if h.states()["first"] != "0" || h.states()["k"] != "199" {
		t.Errorf("state: %v", h.states())
	}
	h.mustPut(t, "k", numbers(200, 300)...)
	synctest.Wait()
	want := h.history(t, "")
	checkRetention(t, want, h.j.Status(), 300)
	h.close(t)
	if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
		t.Errorf("read folder: %s", diff)
	}
}

// checkRetention wants one gap that, with the records still there, makes up all.
func checkRetention(t *testing.T, got lines, s Status, all int) {
	t.Helper()
	records := got.records()
	if len(records) == 0 || len(records) > all/2 || records[len(records)-1] != fmt.Sprint("k=", all-1) {
		t.Fatalf("%d records of %d are left: %v", len(records), all, records)
	}
	if want := fmt.Sprint("!retention ", all-len(records)); got[0] != want || len(got.gaps()) != 1 {
		t.Errorf("gaps %v, want %s", got.gaps(), want)
	}
	if len(s.Gaps) != 1 || s.Records != int64(len(records)) || !s.Durable {
		t.Errorf("status: %+v", s)
	}
}

// TestRetentionAtOpen opens a log after a long time, and with less room than before.
func TestRetentionAtOpen(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"age":     func(o *Options) { o.Now = func() time.Time { return time.Now().AddDate(0, 2, 0) } },
		"records": func(o *Options) { o.KeepRecords = 1 },
		"bytes":   func(o *Options) { o.KeepBytes = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := writeLog(t, 300, 100)
			if n := len(segmentFiles(t, dir)); n < 4 {
				t.Fatalf("%d segments", n)
			}
			h := startHost(t, dir, change)
			if n := len(segmentFiles(t, dir)); n != 2 {
				t.Errorf("%d segments are left, not the newest two", n)
			}
			got := h.history(t, "")
			left := got.records()
			if diff := cmp.Diff([]string(want[len(want)-len(left):]), left); diff != "" || len(left) == 0 {
				t.Error(diff)
			}
			checkGoesOn(t, dir, h, got)
			if diff := cmp.Diff([]string{fmt.Sprint("!retention ", len(want)-len(left))}, got.gaps()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSegmentsThatOutlivedTheirDropAreSwept puts dropped files back, as a crash between the note and the removal leaves them.
func TestSegmentsThatOutlivedTheirDropAreSwept(t *testing.T) {
	dir, _ := writeLog(t, 300, 100)
	kept := contents(t, dir)
	h := startHost(t, dir, func(o *Options) { o.KeepRecords = 1 })
	want := h.history(t, "")
	h.close(t)
	for name, data := range kept {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		for _, path := range []string{path, path + asideSuffix, path + tmpSuffix} {
			if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
		t.Errorf("read folder: %s", diff)
	}
	h = startHost(t, dir)
	if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
		t.Errorf("history: %s", diff)
	}
	files := contents(t, dir)
	maps.DeleteFunc(files, func(name, _ string) bool { return strings.HasSuffix(name, indexSuffix) })
	if len(files) != 2 {
		t.Errorf("%d files are left", len(files))
	}
}

// TestLargeCheckpoint writes a checkpoint much larger than a segment: it is written once, not at each append, and not
// kept in memory.
func TestLargeCheckpoint(t *testing.T) {
	const keys = 100_000
	state := []byte(strings.Repeat("s", 300))
	checkpoints, replayed, lastHeap := 0, 0, uint64(0)
	opts := Options{Dir: t.TempDir(), Now: time.Now, SegmentBytes: 1000, Checkpoint: func(put func(string, []byte) error) error {
		checkpoints++
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range keys {
			if err := put(fmt.Sprint("key", i), state); err != nil {
				return err
			}
		}
		runtime.ReadMemStats(&after)
		lastHeap = after.TotalAlloc - before.TotalAlloc
		return nil
	}}
	j, err := Open(opts, func(Entry) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	for range 100 {
		j.Append("k", state, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if checkpoints != 1 || lastHeap > 16<<20 {
		t.Errorf("%d checkpoints, the last allocated %d bytes in all", checkpoints, lastHeap)
	}
	j, err = Open(opts, func(e Entry) error {
		if e.Kind == KindCheckpoint {
			replayed++
		}
		return nil
	})
	if err != nil || replayed != keys {
		t.Fatalf("%d keys of %d: %v", replayed, keys, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTooLargeStateIsAFault(t *testing.T) {
	h := startHost(t, t.TempDir(), segmentBytes(1))
	h.set("big", strings.Repeat("x", MaxState+1))
	for h.put("k", strings.Repeat("y", 200)) == nil {
	}
	if s := h.j.Status(); s.Durable || !strings.Contains(s.Fault.Error(), `"big"`) {
		t.Errorf("status: %+v", s)
	}
	h.set("big", "small")
	if err := h.j.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// H76: a segment that retention drops while a log is surveyed is not called damaged, nor the log missing.
func TestH76ASegmentThatIsDroppedMeanwhileIsNoDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	h := startHost(t, dir, func(o *Options) { o.SegmentBytes = 1 << 10 })
	for i := range 100 {
		h.mustPut(t, "a", fmt.Sprintf("%0100d", i))
	}
	h.close(t)
	oldest := ""
	drop := func(name string, flag int, perm os.FileMode) (File, error) {
		if oldest == "" {
			oldest = name
			if err := os.Remove(name); err != nil {
				t.Error(err)
			}
		}
		return openFile(name, flag, perm)
	}
	found, unusable, _, err := surveyDir(dir, drop)
	if err != nil || len(unusable) > 0 || len(found) < 2 {
		t.Fatalf("%d and %d segments, %v", len(found), len(unusable), err)
	}
	for _, seg := range found {
		if seg.broken != nil || seg.path == oldest {
			t.Errorf("%s: %v", seg.path, seg.broken)
		}
	}
}
