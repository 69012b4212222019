// Package statefile opens the files in which hosts and nodes keep their state. It opens regular files only, so that a pipe or a device in the
// place of one is an error and not a wait without end, and it waits for a disk no longer than Patience. It never says what a file holds.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// Patience is how long a disk may take for one operation, as for those of the log (docs/adr/0024): far above what a busy disk takes.
	Patience = 5 * time.Second
	// MaxBytes bounds what Read reads of a file.
	MaxBytes = 16 << 20
)

var (
	// ErrHangs is the cause where the disk has not answered within Patience, or has not answered yet to what it was asked before.
	ErrHangs = errors.New("the disk does not answer")
	// ErrNotRegular is the cause where something else than a regular file is in the place of one.
	ErrNotRegular = errors.New("it is no regular file, such as a pipe or a folder; move it away")
)

// Open is os.OpenFile for a regular file, which may be behind a symbolic link. It waits for no other end of a pipe. Errors are ErrNotRegular
// and those of os.OpenFile. It is not bounded in time: call it within Disk.Do.
func Open(path string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, perm)
	if errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.EISDIR) { // a pipe that nobody reads, or a socket; a folder
		return nil, &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Disk does operations on files, each on a goroutine of its own, and waits for none longer than Patience. While one that was given up has not
// returned all others fail at once, so that a disk that does not answer costs no more than those who asked it together. The zero Disk is
// ready; a nil one remembers nothing. It is safe for concurrent use.
type Disk struct{ hanging atomic.Int32 }

// Do runs f, and returns its error or ErrHangs. F goes on beside its caller then, so that it must share nothing that the caller changes later.
func (d *Disk) Do(what string, f func() error) error {
	if d != nil && d.hanging.Load() > 0 {
		return fmt.Errorf("%s: %w: what was asked of it before has not returned", what, ErrHangs)
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	select {
	case err := <-done:
		return err
	case <-patience.C:
	}
	if d != nil {
		d.hanging.Add(1)
		go func() {
			<-done
			d.hanging.Add(-1)
		}()
	}
	return fmt.Errorf("%s: %w within %s", what, ErrHangs, Patience)
}

// Read reads a regular file of at most MaxBytes. Errors are ErrNotRegular, ErrHangs, and those of reading, such as fs.ErrNotExist.
func (d *Disk) Read(path string) ([]byte, error) {
	return d.read(path, func(fs.FileInfo) error { return nil })
}

func (d *Disk) read(path string, check func(fs.FileInfo) error) ([]byte, error) {
	read := make(chan []byte, 1)
	err := d.Do("read "+path, func() error {
		f, err := Open(path, os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err == nil {
			err = check(info)
		}
		if err != nil {
			return err
		}
		content, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
		if err == nil && len(content) > MaxBytes {
			err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d bytes", MaxBytes)}
		}
		read <- content
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-read, nil
}

// Stream opens a regular file of any length for reading. Each read is bounded in time; after an error the buffer that it was given belongs to
// the disk.
func (d *Disk) Stream(path string) (io.ReadCloser, error) {
	opened := make(chan *os.File, 1)
	err := d.Do("open "+path, func() error {
		f, err := Open(path, os.O_RDONLY, 0)
		if err == nil {
			opened <- f
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &stream{file: <-opened, disk: d}, nil
}

// stream is an open file. It does not embed it, so that nothing reads by another of its methods, which nothing bounds.
type stream struct {
	file *os.File
	disk *Disk
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (n int, err error) {
	read := make(chan int, 1)
	err = s.disk.Do("read "+s.file.Name(), func() error {
		n, err := s.file.Read(p)
		read <- n
		return err
	})
	select {
	case n = <-read:
	default:
	}
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error { return s.file.Close() }

// Read is Disk.Read of a disk that nothing is remembered of.
func Read(path string) ([]byte, error) { return (*Disk)(nil).Read(path) }

// ReadChecked is Read of a file that check does not refuse. It is told of the very file that is read, whatever is put in its place meanwhile.
func ReadChecked(path string, check func(fs.FileInfo) error) ([]byte, error) {
	return (*Disk)(nil).read(path, check)
}

// SyncDir makes the entries of a folder durable. It is not bounded in time: call it within Disk.Do.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", path, err)
	}
	return nil
}
