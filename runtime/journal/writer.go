package journal

import (
	"crypto/sha256"
	"fmt"
	"hash"
)

// A sync that does not have to move the end of the file is about a third faster, so that segments are
// extended with zeros ahead of the data: by a quarter of what they hold, so that a small host's stay small.
const (
	minStep = 256 << 10
	maxStep = 4 << 20
)

// writer appends frames to one segment. After an error it is of no more use.
type writer struct {
	file  File
	off   int64 // behind the last frame
	size  int64 // of the file; from off on it is zeros
	head  int64 // where the segment's head ends
	chain uint32
	sum   hash.Hash // of what is before off; who calls write adds to it
}

func newWriter(file File) *writer {
	return &writer{file: file, sum: sha256.New()}
}

// write seals frames, which it changes, and appends them.
func (w *writer) write(frames []byte) error {
	chain := seal(frames, w.chain)
	if err := w.raw(frames); err != nil {
		return err
	}
	w.chain = chain
	return nil
}

func (w *writer) raw(p []byte) error {
	if _, err := w.file.WriteAt(p, w.off); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	w.off += int64(len(p))
	if w.off > w.size {
		w.size = w.off
		w.extend()
	}
	return nil
}

// extend writes zeros behind the data. The data does not need them, so that a full disk fails the first write that
// does not fit, and not this.
func (w *writer) extend() {
	step := min(max(w.off/4, minStep), maxStep)
	target := (w.off/step + 1) * step
	zeros := make([]byte, min(target-w.off, 64<<10))
	for at := w.off; at < target; {
		n, err := w.file.WriteAt(zeros[:min(target-at, int64(len(zeros)))], at)
		at += int64(n)
		w.size = max(w.size, at)
		if err != nil {
			return
		}
	}
}

func (w *writer) sync() error {
	if err := w.file.Datasync(); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
