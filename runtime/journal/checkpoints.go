package journal

import (
	"context"
	"errors"
	"io/fs"
)

// ReadState calls f with what the present state is made of, as Open does with replay: the checkpoints and the records of the newest segment
// that can be used. Like ReadDir it takes no lock and writes nothing. A folder without a log is fs.ErrNotExist.
func ReadState(ctx context.Context, dir string, f func(Entry) error) error {
	return interruptible(ctx, func() error { return readState(ctx, dir, f) })
}

func readState(ctx context.Context, dir string, f func(Entry) error) error {
	found, _, got, err := surveyDir(dir, openFile)
	if err != nil || len(found) == 0 {
		return err
	}
	return deliverAll(found[len(found)-1], got, openFile, func(e Entry) error { return errors.Join(ctx.Err(), f(e)) })
}

// ReadCheckpoints calls f with the checkpoints of one key, or for "" of all, that the segments of a log begin with, oldest first:
// the state between the segment before and what the segment records. Like ReadDir it takes no lock and writes nothing. What is
// damaged or was dropped meanwhile is left out; ReadDir tells of it. A folder without a log is fs.ErrNotExist.
func ReadCheckpoints(ctx context.Context, dir, key string, f func(Entry) error) error {
	return interruptible(ctx, func() error { return readCheckpoints(ctx, dir, key, f) })
}

func readCheckpoints(ctx context.Context, dir, key string, f func(Entry) error) error {
	found, _, got, err := surveyDir(dir, openFile)
	if err != nil || len(found) == 0 {
		return err
	}
	for _, seg := range link(found, got.ledger.Through) {
		if seg.broken != nil {
			continue
		}
		if err := readHead(ctx, seg, key, f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readHead hands out the checkpoints of one segment.
func readHead(ctx context.Context, seg segment, key string, f func(Entry) error) error {
	if done, err := indexedHead(ctx, seg, key, f); done || err != nil {
		return err
	}
	file, size, err := openSized(seg.path, openFile)
	if err != nil {
		return err
	}
	defer file.Close()
	s := scan(file, seg.header, -1, size)
	s.sum = nil
	if key != "" {
		s.keep = func(kind Kind, k []byte) bool { return kind == KindCheckpoint && string(k) == key }
	}
	for {
		e, err := s.next()
		if err != nil || e.Kind == kindEnd {
			return nil
		}
		if e.Kind != KindCheckpoint || key != "" && key != e.Key {
			continue
		}
		if err := errors.Join(ctx.Err(), f(e)); err != nil {
			return err
		}
	}
}

// indexedHead hands out the checkpoint of a key by the segment's index. It is not done where there is none.
func indexedHead(ctx context.Context, seg segment, key string, f func(Entry) error) (done bool, err error) {
	err = history{open: openFile, key: key}.places(seg, func(e Entry, err error) error {
		if err != nil || e.Kind != KindCheckpoint || e.Key != key {
			return nil //nolint:nilerr // what is damaged is left out
		}
		return errors.Join(ctx.Err(), f(e))
	})
	if errors.Is(err, errIndex) {
		return false, nil
	}
	return true, err
}
