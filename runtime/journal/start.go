package journal

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// How many seconds without an answer of the disk it takes while a log is opened until it is told, and until it is given up. A process that was
// paused counts one.
const (
	startTold = 5
	startMost = 30
)

// starting is a log on its way to be opened. It goes on a goroutine of its own, so that a disk that does not answer holds nobody up: not when
// a segment is read, and not when a folder is listed or a lock is taken.
type starting struct {
	answers   atomic.Uint64 // of the disk
	abandoned atomic.Bool   // nobody waits any more: nothing more may be done
}

// open opens a segment for reading, and counts what is read of it.
func (s *starting) open(open opener) opener {
	return func(name string, flag int, perm os.FileMode) (File, error) {
		if s.abandoned.Load() {
			return nil, errHangs
		}
		file, err := open(name, flag, perm)
		s.answers.Add(1)
		if err != nil {
			return nil, err
		}
		return &startingFile{File: file, starting: s}, nil
	}
}

// startingFile is a file that is read while a log is opened.
type startingFile struct {
	File
	starting *starting
}

// ReadAt implements File.
func (f *startingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.starting.answers.Add(1)
	if f.starting.abandoned.Load() {
		return 0, errHangs
	}
	return n, err
}

// opened is what opening a log came to.
type opened struct {
	journal *Journal
	err     error
}

// wait waits for a log that is being opened for as long as the disk answers. One that is opened after that is closed again.
func (s *starting) wait(opts *Options, result <-chan opened) (*Journal, error) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	seen, quiet := s.answers.Load(), 0
	for {
		select {
		case r := <-result:
			return r.journal, r.err
		case <-second.C:
		}
		now := s.answers.Load()
		if now != seen {
			seen, quiet = now, 0
			continue
		}
		switch quiet++; quiet {
		case startTold:
			opts.Log.Warn("log_not_read", "folder", opts.Dir, "reason", errHangs.Error(), "seconds", startTold, "given_up_after", startMost)
		case startMost:
			s.abandoned.Store(true)
			go func() {
				if r := <-result; r.journal != nil {
					_ = r.journal.Close()
				}
			}()
			return nil, fmt.Errorf("open the log %s: %w: nothing of it was read for %d s; look at the disk, and start again", opts.Dir, errHangs, startMost)
		}
	}
}

// interruptible does what reads a log that nobody has open, and does not wait for its end where ctx ends: a disk may not answer.
func interruptible(ctx context.Context, read func() error) error {
	done := make(chan error, 1)
	go func() { done <- read() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
