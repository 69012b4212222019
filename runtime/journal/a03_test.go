package journal

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// disk is a file system that fails as it is told.
type disk struct {
	mu     sync.Mutex
	broken map[string]error // by operation: open, write, sync, truncate
	after  map[File]int     // syncs of a file after one of it failed
	failed map[File]bool
	dirty  map[File]bool            // written to since the last sync
	light  bool                     // syncs that do not fail do nothing
	hangs  map[string]chan struct{} // by operation: it returns when this is closed
}

func newDisk() *disk {
	return &disk{broken: map[string]error{}, after: map[File]int{}, failed: map[File]bool{}, dirty: map[File]bool{}}
}

func (d *disk) set(op string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken[op] = err
}

func (d *disk) try(op string) error {
	d.mu.Lock()
	hanging := d.hangs[op]
	d.mu.Unlock()
	if hanging != nil {
		<-hanging
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken[op]
}

// hang makes an operation hang until the function that it returns is called.
func (d *disk) hang(op string) (release func()) {
	hanging := make(chan struct{})
	set := func(c chan struct{}) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.hangs == nil {
			d.hangs = map[string]chan struct{}{}
		}
		d.hangs[op] = c
	}
	set(hanging)
	return func() {
		set(nil)
		close(hanging)
	}
}

func (d *disk) options(o *Options) { o.OpenFile = d.open }

func (d *disk) open(name string, flag int, perm os.FileMode) (File, error) {
	if err := d.try("open"); err != nil && flag != os.O_RDONLY {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	file, err := openFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: file, disk: d}, nil
}

type faultyFile struct {
	File
	disk *disk
}

// WriteAt writes a part before it fails, as a full disk does.
func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	f.disk.dirty[f] = true
	f.disk.mu.Unlock()
	if err := f.disk.try("write"); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.disk.try("read"); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Datasync() error {
	err := f.disk.try("sync")
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.failed[f] {
		f.disk.after[f]++
	}
	if err != nil {
		f.disk.failed[f] = true
		return err
	}
	delete(f.disk.dirty, f)
	if f.disk.light {
		return nil
	}
	return f.File.Datasync()
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.disk.try("truncate"); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// TestA03FaultAndRecovery breaks the disk under a journal: what cannot be stored is not claimed, Status says so, and when the disk
// is mended the journal recovers by itself with everything that is in memory.
func TestA03FaultAndRecovery(t *testing.T) {
	for name, broken := range map[string]map[string]error{
		"disk full":             {"write": syscall.ENOSPC},
		"read-only":             {"write": syscall.EROFS, "open": syscall.EROFS, "truncate": syscall.EROFS},
		"writing fails":         {"write": syscall.EIO},
		"syncing fails":         {"sync": syscall.EIO},
		"syncing says full":     {"sync": syscall.ENOSPC},
		"all of it":             {"write": syscall.EIO, "sync": syscall.EIO, "open": syscall.EIO, "truncate": syscall.EIO},
		"sync and cutting fail": {"sync": syscall.EIO, "truncate": syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { faultAndRecovery(t, broken) })
		})
	}
}

func faultAndRecovery(t *testing.T, broken map[string]error) {
	dir, d := t.TempDir(), newDisk()
	h := startHost(t, dir, d.options)
	h.mustPut(t, "a", "1", "2")
	began := time.Now()
	var cause error
	for op, err := range broken {
		d.set(op, err)
		cause = err
	}
	for _, value := range []string{"3", "4", "5"} {
		if err := h.put("b", value); !errors.Is(err, ErrNotDurable) || !errors.Is(err, cause) {
			t.Fatalf("append of %s on a broken disk: %v", value, err)
		}
	}
	if s := h.j.Status(); s.Durable || !errors.Is(s.Fault, cause) || !s.Since.Equal(began) {
		t.Errorf("status on a broken disk: %+v", s)
	}
	<-time.After(10 * retryPeriod)
	synctest.Wait()
	if s := h.j.Status(); s.Durable || !s.Since.Equal(began) || s.Records != 2 {
		t.Errorf("status after attempts on a broken disk: %+v", s)
	}
	if diff := cmp.Diff(lines{"a=1", "a=2"}, h.history(t, "")); diff != "" {
		t.Errorf("history on a broken disk: %s", diff)
	}
	for op := range broken {
		d.set(op, nil)
	}
	<-time.After(retryPeriod)
	synctest.Wait()
	if s := h.j.Status(); !s.Durable || s.Fault != nil || !s.Since.IsZero() {
		t.Errorf("status on a mended disk: %+v", s)
	}
	h.mustPut(t, "a", "6")
	want := lines{"a=1", "a=2", "!unwritten 3", "a=6"}
	if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
		t.Errorf("history: %s", diff)
	}
	if len(d.after) != 0 {
		t.Errorf("a sync was tried again after it had failed: %v", d.after)
	}
	h.close(t)
	again := startHost(t, dir)
	if diff := cmp.Diff(map[string]string{"a": "6", "b": "5"}, again.states()); diff != "" {
		t.Errorf("state: %s", diff)
	}
	checkGoesOn(t, dir, again, want)
}

// TestA03FailedSyncIsNotCovered lets one sync fail and all later ones succeed, as a kernel does that has dropped the pages:
// the record of the failed sync must never count as stored.
func TestA03FailedSyncIsNotCovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, d := t.TempDir(), newDisk()
		h := startHost(t, dir, d.options)
		d.set("sync", syscall.EIO)
		d.set("truncate", syscall.EIO)
		if err := h.put("a", "1"); !errors.Is(err, ErrNotDurable) {
			t.Fatal(err)
		}
		d.set("sync", nil)
		if err := h.put("a", "2"); !errors.Is(err, ErrNotDurable) {
			t.Errorf("append before recovery: %v", err)
		}
		<-time.After(retryPeriod)
		synctest.Wait()
		h.mustPut(t, "a", "3")
		want := lines{"!unwritten 2", "a=3"}
		if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
			t.Error(diff)
		}
		h.close(t)
		if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
			t.Error(diff)
		}
	})
}

// TestA03RotationFails breaks the disk or the checkpoint when a new segment is due.
func TestA03RotationFails(t *testing.T) {
	wrong := errors.New("wrong")
	for name, fault := range map[string]func(d *disk, checkpoint *atomic.Bool, on bool){
		"open":       func(d *disk, _ *atomic.Bool, on bool) { d.set("open", choose(on, syscall.ENOSPC)) },
		"checkpoint": func(_ *disk, checkpoint *atomic.Bool, on bool) { checkpoint.Store(on) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir, d := t.TempDir(), newDisk()
				var refused atomic.Bool
				h := startHost(t, dir, d.options, segmentBytes(300), func(o *Options) {
					whole := o.Checkpoint
					o.Checkpoint = func(put func(string, []byte) error) error {
						return errors.Join(choose(refused.Load(), wrong), whole(put))
					}
				})
				fault(d, &refused, true)
				stored := lines{}
				for i := 0; ; i++ {
					value := fmt.Sprint(i)
					if err := h.put("a", value); err != nil {
						break
					}
					stored = append(stored, "a="+value)
				}
				synctest.Wait()
				fault(d, &refused, false)
				<-time.After(retryPeriod)
				synctest.Wait()
				h.mustPut(t, "a", "x")
				want := append(stored, "!unwritten 1", "a=x")
				if diff := cmp.Diff(want, h.history(t, "")); diff != "" {
					t.Error(diff)
				}
				h.close(t)
				if diff := cmp.Diff(want, readDir(t, dir, "")); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func choose(on bool, err error) error {
	if on {
		return err
	}
	return nil
}

// TestA03CloseRecovers closes during a fault: on a mended disk the last attempt stores what is in memory, on a broken one
// Close says that it could not.
func TestA03CloseRecovers(t *testing.T) {
	for _, mended := range []bool{true, false} {
		dir, d := t.TempDir(), newDisk()
		h := startHost(t, dir, d.options)
		h.mustPut(t, "a", "1")
		d.set("write", syscall.ENOSPC)
		if err := h.put("a", "2"); err == nil {
			t.Fatal("append on a broken disk")
		}
		if mended {
			d.set("write", nil)
		}
		if err := h.j.Close(); errors.Is(err, syscall.ENOSPC) == mended {
			t.Errorf("close: %v", err)
		}
		want := map[bool]string{true: "2", false: "1"}[mended]
		if got := startHost(t, dir).states()["a"]; got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
}

// TestA03OpenOnBrokenDisk opens a log that can be read but not written, a damaged one at that.
func TestA03OpenOnBrokenDisk(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dir, want := writeLog(t, 16<<20, 10)
			if damaged {
				spoil(t, segmentFiles(t, dir)[0], func(d []byte) []byte { return append(d, "rubbish"...) })
				want = append(want, "!damage -1")
			}
			d := newDisk()
			d.set("open", syscall.EROFS)
			h := startHost(t, dir, d.options)
			if s := h.j.Status(); s.Durable || !errors.Is(s.Fault, syscall.EROFS) || h.states()["k"] != "9" || (len(s.Gaps) == 1) != damaged {
				t.Errorf("status %+v, state %v", s, h.states())
			}
			if err := h.put("k", "10"); !errors.Is(err, ErrNotDurable) {
				t.Errorf("append: %v", err)
			}
			d.set("open", nil)
			<-time.After(retryPeriod)
			synctest.Wait()
			checkGoesOn(t, dir, h, append(want, "!unwritten 1"))
		})
	}
}
