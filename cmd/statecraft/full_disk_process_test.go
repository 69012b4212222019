package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestH66AHostOfThreeWhoseDiskWasFull says so, starts its broker anew when there is room, and has what the others have again.
func TestH66AHostOfThreeWhoseDiskWasFull(t *testing.T) {
	const small = 64 << 20
	disk := t.TempDir()
	if err := unix.Mount("none", disk, "tmpfs", 0, fmt.Sprintf("size=%d", small)); err != nil {
		t.Skipf("NOT TESTED: a host of three whose disk is really full; mounting needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	c := newCell(t, clusterHosts)
	streams := filepath.Join(disk, "streams")
	err := os.Mkdir(streams, 0o700)
	if err == nil {
		err = os.Symlink(streams, filepath.Join(c.dir, "hosts", hostName(1), "streams"))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.startAll()
	c.until("all are well", func(_ fleetHostsResult, code int) bool { return code == exitOK })
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, small), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for i := range 300 { // the others take it
		deadline := time.Now().Add(clusterWithin)
		for {
			_, err := c.watched.Publish(t.Context(), "jobs.full", []byte(strings.Repeat("x", 64<<10)))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("message %d: %v", i, err)
			}
		}
	}
	r := c.until("the host says that it is degraded", func(r fleetHostsResult, code int) bool {
		return code == exitPartial && len(r.Hosts) == clusterHosts && r.Hosts[1].Health == "degraded"
	})
	t.Logf("degraded: %s: %s", r.Hosts[1].Cause, r.Hosts[1].Reason)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	c.until("all are well again", func(r fleetHostsResult, code int) bool { return code == exitOK && len(r.Hosts) == clusterHosts })
	c.replicated(clusterHosts)
	if n := len(c.hosts[hostName(1)].Args); n == 0 || c.hosts[hostName(1)].ProcessState != nil {
		t.Error("the host was ended")
	}
}
