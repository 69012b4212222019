package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// hangAfter is how long an operation on the disk may take: one that has not returned by then counts as failed, as a disk that does not
// answer stores as little as one that refuses. It is far above the seconds that a busy disk takes for a sync.
const hangAfter = 5 * time.Second

// errHangs is the cause of what a disk does not answer to.
var errHangs = errors.New("the disk does not answer")

// patience does the committer's operations on the disk, each on a goroutine of its own, which it waits for as long as hangAfter. While
// one of them hangs no other begins: all fail at once. It belongs to the committer, and to Open before there is one.
type patience struct {
	hanging <-chan struct{} // closed when the operation that hangs has returned; nil for none
	timer   *time.Timer
}

func newPatience() *patience {
	p := &patience{timer: time.NewTimer(time.Hour)}
	p.timer.Stop()
	return p
}

// do runs f, which must not touch what the committer changes: it may go on beside it.
func (p *patience) do(what string, f func() error) error {
	if p.hangs() {
		return fmt.Errorf("%s: %w: what was asked of it before has not returned", what, errHangs)
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	p.timer.Reset(hangAfter)
	defer p.timer.Stop()
	select {
	case err := <-done:
		return err
	case <-p.timer.C:
		returned := make(chan struct{})
		go func() {
			<-done
			close(returned)
		}()
		p.hanging = returned
		return fmt.Errorf("%s: %w within %s", what, errHangs, hangAfter)
	}
}

// hangs reports whether an operation has not returned yet.
func (p *patience) hangs() bool {
	if p.hanging == nil {
		return false
	}
	select {
	case <-p.hanging:
		p.hanging = nil
		return false
	default:
		return true
	}
}

// open opens a segment that is written to.
func (p *patience) open(open opener, name string, flag int, perm fs.FileMode) (File, error) {
	opened := make(chan File, 1)
	err := p.do("open", func() error {
		file, err := open(name, flag, perm)
		if err == nil {
			opened <- file
		}
		return err
	})
	if err == nil {
		return &patientFile{File: <-opened, patience: p}, nil
	}
	if late := p.hanging; late != nil {
		go func() {
			<-late
			select {
			case file := <-opened:
				_ = file.Close()
			default:
			}
		}()
	}
	return nil, err
}

// patientFile is a file with patience. What it is given to write belongs to it where that fails.
type patientFile struct {
	File
	patience *patience
}

// WriteAt implements File.
func (f *patientFile) WriteAt(p []byte, off int64) (n int, err error) {
	wrote := make(chan int, 1)
	err = f.patience.do("write", func() error {
		n, err := f.File.WriteAt(p, off)
		wrote <- n
		return err
	})
	select {
	case n = <-wrote:
	default:
	}
	return n, err
}

// Datasync implements File.
func (f *patientFile) Datasync() error { return f.patience.do("sync", f.File.Datasync) }

// Truncate implements File.
func (f *patientFile) Truncate(size int64) error {
	return f.patience.do("truncate", func() error { return f.File.Truncate(size) })
}

// Close implements File. A file of which an operation hangs is closed when that has returned.
func (f *patientFile) Close() error {
	late := f.patience.hanging
	if !f.patience.hangs() {
		return f.patience.do("close", f.File.Close)
	}
	go func() {
		<-late
		_ = f.File.Close()
	}()
	return nil
}

// rename, remove and syncDir are those of the operating system, with patience.
func (p *patience) rename(from, to string) error {
	return p.do("rename", func() error { return os.Rename(from, to) })
}

func (p *patience) remove(name string) error {
	return p.do("remove", func() error { return os.Remove(name) })
}

func (p *patience) syncDir(dir string) error {
	return p.do("sync folder", func() error { return statefile.SyncDir(dir) })
}
