package runtime_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// slowDisk is a disk whose syncs hang while it is told so.
type slowDisk struct {
	mu    sync.Mutex
	hangs chan struct{}
}

func (d *slowDisk) open(name string, flag int, perm os.FileMode) (journal.File, error) {
	f, err := os.OpenFile(name, flag, perm)
	return &slowFile{f, d}, err
}

// set lets syncs hang until the channel is closed, or for nil not at all.
func (d *slowDisk) set(hangs chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hangs = hangs
}

type slowFile struct {
	*os.File
	disk *slowDisk
}

// Datasync implements journal.File.
func (f *slowFile) Datasync() error {
	f.disk.mu.Lock()
	hangs := f.disk.hangs
	f.disk.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	return f.Sync()
}

// TestA03AHostWhoseDiskHangsGoesOn answers events, says that it stores nothing, and stores again when the disk answers.
func TestA03AHostWhoseDiskHangsGoesOn(t *testing.T) {
	d := &slowDisk{}
	cfg := runtime.Config{StateDir: t.TempDir(), Catalogue: newFakes()}
	cfg.Journal.OpenFile = d.open
	h := runHost(t, cfg)
	h.deploy(tickerOf("1.0.0"))
	release := make(chan struct{})
	d.set(release)
	f, err := h.Fire(t.Context(), "ticker", "next", nil, "test")
	if err != nil || f.Durable {
		t.Errorf("while the disk hangs: fired %+v, %v", f, err)
	}
	if health := h.Health(); health.Durable || len(health.Degraded) != 1 || !strings.Contains(health.Degraded[0], "does not answer") {
		t.Errorf("while the disk hangs the host says %+v", health)
	}
	d.set(nil)
	close(release)
	for deadline := time.Now().Add(time.Minute); !h.Health().Durable; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the host does not store records although the disk answers again")
		}
	}
}
