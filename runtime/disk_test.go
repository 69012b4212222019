package runtime_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// brokenDisk fails operations on segment files while it is told to.
type brokenDisk struct {
	mu     sync.Mutex
	faults map[string]error // by operation: open, write, sync
}

func (d *brokenDisk) set(faults map[string]error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults
}

func (d *brokenDisk) fault(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.faults[op]
}

func (d *brokenDisk) open(name string, flag int, perm os.FileMode) (journal.File, error) {
	if err := d.fault("open"); err != nil && flag != os.O_RDONLY {
		return nil, err
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &brokenFile{File: f, disk: d}, nil
}

type brokenFile struct {
	*os.File
	disk *brokenDisk
}

func (f *brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.disk.fault("write"); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *brokenFile) Datasync() error {
	if err := f.disk.fault("sync"); err != nil {
		return err
	}
	return f.Sync()
}

// TestA03BrokenDisk breaks the disk under a host: machines go on, nothing is called durable, no look that must not be repeated is
// started; when the disk is mended all of it is stored.
func TestA03BrokenDisk(t *testing.T) {
	for name, faults := range map[string]map[string]error{
		"disk full":     {"write": syscall.ENOSPC},
		"read-only":     {"open": syscall.EROFS, "write": syscall.EROFS},
		"syncing fails": {"sync": syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, disk := t.TempDir(), &brokenDisk{}
			cfg := crashConfig(dir)
			cfg.Journal.OpenFile = disk.open
			h := runHost(t, cfg)
			h.deploy(crashCounter, crashOnce)
			h.add(0, 3)
			disk.set(faults)
			for i := 3; i < 8; i++ {
				if f := h.fire("counter", crashEvent("counter", i)); f.Durable {
					t.Errorf("event %d is called durable", i)
				}
			}
			h.wantCounter(8)
			if health := h.Health(); health.Durable || len(health.Degraded) != 1 {
				t.Errorf("health %+v", health)
			}
			h.fire("once", "go")
			eventually(t, "the look was refused", func() bool { return h.detail("once").Watchers[0].Outcome == machine.OutcomeStarved })
			if _, err := os.Stat(filepath.Join(dir, "effects")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a look that must not be repeated was started without a record: %v", err)
			}
			disk.set(nil)
			eventually(t, "the host is durable again", func() bool { return h.Health().Durable })
			h.add(8, 12)
			eventually(t, "the look is made up for", func() bool { return h.detail("once").State == "idle" })
			h.fire("once", "go")
			eventually(t, "the look has ended", func() bool { return h.detail("once").State == "idle" })
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			again := runHost(t, crashConfig(dir))
			again.deploy(crashCounter, crashOnce)
			again.wantCounter(12)
			if d := again.detail("once"); d.Data["visits"] != 2 || d.State != "idle" {
				t.Errorf("once is in %s with %v", d.State, d.Data)
			}
		})
	}
}

// TestA03LookIsNotStartedWhenItsRecordIsNotStored breaks the disk between the event that leads to a look and the record of the look.
func TestA03LookIsNotStartedWhenItsRecordIsNotStored(t *testing.T) {
	dir, disk := t.TempDir(), &brokenDisk{}
	cfg := crashConfig(dir)
	cfg.Journal.OpenFile = disk.open
	cfg.Observe = func(r *machine.Record, _ bool) {
		if r.Event == "go" {
			disk.set(map[string]error{"sync": syscall.EIO})
		}
	}
	h := runHost(t, cfg)
	h.deploy(crashOnce)
	if f := h.fire("once", "go"); !f.Durable {
		t.Fatalf("%+v", f)
	}
	eventually(t, "the look was refused", func() bool { return h.detail("once").Watchers[0].Outcome == machine.OutcomeStarved })
	if _, err := os.Stat(filepath.Join(dir, "effects")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the look was started without a record: %v", err)
	}
	disk.set(nil)
	eventually(t, "the host is durable again", func() bool { return h.Health().Durable })
	eventually(t, "the look is made up for", func() bool { return h.detail("once").State == "idle" })
}
