package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestA03ADiskThatHangsAtTheStartEndsIt: whoever starts a host is told within half a minute, and nothing is changed when the disk answers later.
func TestA03ADiskThatHangsAtTheStartEndsIt(t *testing.T) {
	for _, op := range []string{"open", "read"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, d := t.TempDir(), newDisk()
				h := startHost(t, dir)
				h.mustPut(t, "a", "1", "2")
				h.close(t)
				before := listed(t, dir)
				release := d.hang(op)
				began := time.Now()
				_, err := openHost(dir, d.options)
				if took := time.Since(began); !errors.Is(err, errHangs) || took < startMost*time.Second || took > 2*startMost*time.Second {
					t.Errorf("it ended after %s: %v", took, err)
				}
				release()
				synctest.Wait()
				if diff := cmp.Diff(before, listed(t, dir)); diff != "" {
					t.Errorf("the folder: %s", diff)
				}
				again := startHost(t, dir)
				if diff := cmp.Diff(map[string]string{"a": "2"}, again.states()); diff != "" {
					t.Errorf("state: %s", diff)
				}
			})
		})
	}
}

// listed are the files of a folder and their sizes, but for the lock's.
func listed(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() != LockName {
			sizes[e.Name()] = info.Size()
		}
	}
	return sizes
}

// TestA03ASlowDiskIsWaitedForAtTheStart: as long as it answers.
func TestA03ASlowDiskIsWaitedForAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, d := t.TempDir(), newDisk()
		h := startHost(t, dir)
		h.mustPut(t, "a", "1")
		h.close(t)
		release := d.hang("read")
		time.AfterFunc((startMost-5)*time.Second, release)
		again := startHost(t, dir, d.options)
		if diff := cmp.Diff(map[string]string{"a": "1"}, again.states()); diff != "" {
			t.Errorf("state: %s", diff)
		}
	})
}

// TestA03AnErrorOfReadingAtTheStartCutsNothing: the log is whole when the disk can be read again.
func TestA03AnErrorOfReadingAtTheStartCutsNothing(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	h := startHost(t, dir)
	h.mustPut(t, "a", "1", "2")
	h.close(t)
	d.set("read", syscall.EIO)
	if _, err := openHost(dir, d.options); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), dir) {
		t.Errorf("it was opened on a disk that cannot be read: %v", err)
	}
	d.set("read", nil)
	again := startHost(t, dir, d.options)
	if s := again.j.Status(); len(s.Damage) > 0 || !s.Durable {
		t.Errorf("%+v", s)
	}
	if diff := cmp.Diff(lines{"a=1", "a=2"}, again.history(t, "")); diff != "" {
		t.Errorf("history: %s", diff)
	}
}

// TestA03APipeInPlaceOfASegmentIsDamage: a pipe is never opened, as who does waits for the other end.
func TestA03APipeInPlaceOfASegmentIsDamage(t *testing.T) {
	dir := t.TempDir()
	h := startHost(t, dir)
	h.mustPut(t, "a", "1")
	h.close(t)
	segments, err := filepath.Glob(filepath.Join(dir, "seg-*.log"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%v, %v", segments, err)
	}
	if err := errors.Join(os.Remove(segments[0]), syscall.Mkfifo(segments[0], 0o600)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- ReadState(t.Context(), dir, func(Entry) error { return nil }) }()
	go func() {
		h, err := openHost(dir)
		if err == nil {
			if s := h.j.Status(); len(s.Damage) == 0 || !strings.Contains(s.Damage[0].Reason, "this is no file") {
				err = errors.New("nothing is said of it")
			}
			err = errors.Join(err, h.j.Close())
		}
		ended <- err
	}()
	for range 2 {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(time.Minute):
			t.Fatal("it waits for the pipe")
		}
	}
}

// TestA03ReadingThatHangsCanBeInterrupted: who looks at the log of a host that does not run.
func TestA03ReadingThatHangsCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hanging := make(chan struct{})
	defer close(hanging)
	cancel()
	err := interruptible(ctx, func() error {
		<-hanging
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
