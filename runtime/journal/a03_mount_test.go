package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// mountTiny mounts a file system of 4 MiB in memory.
func mountTiny(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("NOT TESTED: real full and read-only file systems; mounting needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// until polls a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.NewTicker(20 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func TestA03RealFullDisk(t *testing.T) {
	mount := mountTiny(t)
	ballast, dir := filepath.Join(mount, "ballast"), filepath.Join(mount, "log")
	h := startHost(t, dir)
	h.mustPut(t, "k", "0")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	big := strings.Repeat("x", 10_000)
	want := lines{"k=0"}
	for {
		value := fmt.Sprint(len(want), big)
		if err := h.put("k", value); errors.Is(err, ErrNotDurable) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		want = append(want, "k="+value)
	}
	if s := h.j.Status(); s.Durable || !errors.Is(s.Fault, syscall.ENOSPC) {
		t.Errorf("status on a full disk: %+v", s)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	until(t, "the journal recovers", func() bool { return h.j.Status().Durable })
	h.mustPut(t, "k", "end")
	want = append(want, "!unwritten 1", "k=end")
	if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
		t.Error(diff)
	}
	h.close(t)
	if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
		t.Error(diff)
	}
}

func TestA03RealReadOnlyMount(t *testing.T) {
	mount := mountTiny(t)
	dir := filepath.Join(mount, "log")
	h := startHost(t, dir)
	h.mustPut(t, "k", "1")
	h.close(t)
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("none", mount, "tmpfs", unix.MS_REMOUNT|flags, "size=4m"); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	h = startHost(t, dir)
	if s := h.j.Status(); s.Durable || !errors.Is(s.Fault, syscall.EROFS) || h.states()["k"] != "1" {
		t.Errorf("status %+v, state %v", s, h.states())
	}
	if _, err := openHost(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	if err := h.put("k", "2"); !errors.Is(err, ErrNotDurable) {
		t.Errorf("append: %v", err)
	}
	remount(0)
	until(t, "the journal recovers", func() bool { return h.j.Status().Durable })
	h.mustPut(t, "k", "3")
	if diff := cmp.Diff(lines{"k=1", "!unwritten 1", "k=3"}, h.history(t, "")); diff != "" {
		t.Error(diff)
	}
	h.close(t)
}
