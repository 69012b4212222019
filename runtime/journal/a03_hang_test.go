package journal

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hangs is how long a disk does not answer, which is longer than anybody waits.
const hangs = 30 * time.Second

// TestA03AHangingDiskIsTreatedLikeAFailingOne has each operation hang for a while: within a bounded time what cannot be stored is not
// claimed and Status says so; when the disk answers again the journal recovers by itself with everything that is in memory.
func TestA03AHangingDiskIsTreatedLikeAFailingOne(t *testing.T) {
	for _, op := range []string{"sync", "write"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, d := t.TempDir(), newDisk()
				h := startHost(t, dir, d.options)
				h.mustPut(t, "a", "1")
				release := d.hang(op)
				began := time.Now()
				time.AfterFunc(hangs, release)
				for _, value := range []string{"2", "3"} {
					if err := h.put("b", value); !errors.Is(err, ErrNotDurable) || !strings.Contains(err.Error(), "does not answer") {
						t.Errorf("append of %s on a disk that hangs: %v", value, err)
					}
				}
				if took := time.Since(began); took > 6*time.Second {
					t.Errorf("two appends were answered after %s", took)
				}
				if s := h.j.Status(); s.Durable || s.Fault == nil || s.Since.IsZero() {
					t.Errorf("status on a disk that hangs: %+v", s)
				}
				<-time.After(10 * retryPeriod)
				synctest.Wait()
				if s := h.j.Status(); s.Durable || s.Records != 1 {
					t.Errorf("status after attempts on a disk that hangs: %+v", s)
				}
				<-time.After(hangs - time.Since(began) + 2*retryPeriod)
				synctest.Wait()
				if s := h.j.Status(); !s.Durable {
					t.Errorf("status on a disk that answers again: %+v", s)
				}
				h.mustPut(t, "a", "4")
				want := lines{"a=1", "!unwritten 2", "a=4"}
				if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
					t.Errorf("history: %s", diff)
				}
				h.close(t)
				again := startHost(t, dir)
				if diff := cmp.Diff(map[string]string{"a": "4", "b": "3"}, again.states()); diff != "" {
					t.Errorf("state: %s", diff)
				}
				checkGoesOn(t, dir, again, want)
			})
		})
	}
}

// TestA03ADiskThatHangsDelaysTheEndByABoundedTime closes while a sync hangs, and while a new segment is made.
func TestA03ADiskThatHangsDelaysTheEndByABoundedTime(t *testing.T) {
	for _, op := range []string{"sync", "open", "truncate"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, d := t.TempDir(), newDisk()
				h := startHost(t, dir, d.options, segmentBytes(300))
				h.mustPut(t, "a", "1")
				release := d.hang(op)
				time.AfterFunc(hangs, release)
				began := time.Now()
				for range 10 {
					h.send("a", strings.Repeat("x", 100), func(error) {})
				}
				err := h.j.Close()
				if took := time.Since(began); took > 12*time.Second {
					t.Errorf("it was closed after %s", took)
				}
				if op != "truncate" && err == nil {
					t.Error("what was not stored is not told of")
				}
				<-time.After(hangs)
				synctest.Wait()
				startHost(t, dir)
			})
		})
	}
}
