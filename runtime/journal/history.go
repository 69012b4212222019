package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// History calls f with the records and gaps that are still kept, oldest first, of one key or, for "", of all; gaps are
// of all keys. It may run beside appends and sees at least what was synced when it was called. It ends with
// f's first error, with ctx's, or with ErrClosed after Close.
func (j *Journal) History(ctx context.Context, key string, f func(Entry) error) error {
	j.mu.Lock()
	shut, segs, l := j.closed, slices.Clone(j.segs), j.ledger
	j.mu.Unlock()
	if shut {
		return ErrClosed
	}
	segs[len(segs)-1].sum = [sha256.Size]byte{} // of a segment that still grows, it says nothing
	return history{open: j.opts.OpenFile, key: key, f: f}.all(ctx, segs, l)
}

// ReadDir is History for a log that no host has open, or that is only to be looked at: it takes no lock, writes nothing.
// What a running host is in the middle of writing is not seen. A folder without a log is fs.ErrNotExist.
func ReadDir(ctx context.Context, dir, key string, f func(Entry) error) error {
	return interruptible(ctx, func() error { return readFolder(ctx, dir, key, f) })
}

func readFolder(ctx context.Context, dir, key string, f func(Entry) error) error {
	found, unusable, got, err := surveyDir(dir, openFile)
	if err != nil {
		return err
	}
	h := history{open: openFile, key: key, f: f}
	var at time.Time
	if len(found) > 0 {
		segs := link(found, got.ledger.Through)
		last := &segs[len(segs)-1]
		last.closed = got.closed
		at = last.newest()
		if err := h.all(ctx, segs, got.ledger); err != nil {
			return err
		}
	}
	m, marked, _ := readMark(dir) // what cannot be read is said by who opens the log
	lost := marked && m.missing(found, unusable, got) != nil
	if len(unusable) == 0 && (got.damage == nil || inUse(dir)) && !lost {
		return nil
	}
	return h.gap(GapDamage, at, at, -1)
}

// errGone is the cause where a segment that was there a moment ago is not: a host that runs has dropped it.
var errGone = errors.New("a segment of the log is not there any more; try again")

// surveyDir finds the segments of a log that can be used, oldest first, and those that cannot, as Open does, but takes no lock and
// writes nothing. A folder without a log is fs.ErrNotExist; where a segment of it has gone meanwhile it looks once more, and fails with errGone.
func surveyDir(dir string, open opener) (found, unusable []segment, got findings, err error) {
	found, err = survey(dir, open)
	if err == nil && slices.ContainsFunc(found, func(s segment) bool { return errors.Is(s.broken, fs.ErrNotExist) }) {
		found, err = survey(dir, open)
	}
	if err != nil {
		return nil, nil, findings{}, err
	}
	found, unusable, got, err = usable(found, open)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: of %s", errGone, dir)
	}
	if err == nil && len(found) == 0 && len(unusable) == 0 {
		err = fmt.Errorf("no log in %s: %w", dir, fs.ErrNotExist)
	}
	return found, unusable, got, err
}

// history hands out what segments hold.
type history struct {
	open opener
	key  string
	f    func(Entry) error
}

func (h history) all(ctx context.Context, segs []segment, l ledger) error {
	if l.Dropped != nil {
		if err := h.gap(GapRetention, l.Dropped.First, l.Dropped.Last, l.Dropped.Records); err != nil {
			return err
		}
	}
	since := segs[0].began()
	for _, seg := range segs {
		if !seg.linked {
			if err := h.gap(GapDamage, since, seg.began(), -1); err != nil {
				return err
			}
		}
		if err := h.segment(ctx, seg); err != nil {
			return err
		}
		since = seg.newest()
	}
	return nil
}

func (h history) segment(ctx context.Context, seg segment) error {
	if seg.broken != nil {
		return h.damaged(seg, 0)
	}
	if done, err := h.indexed(ctx, seg); done || err != nil {
		return err
	}
	file, size, err := openSized(seg.path, h.open)
	if errors.Is(err, fs.ErrNotExist) {
		// Retention was faster.
		return h.gap(GapRetention, seg.header.created, seg.newest(), seg.records)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	s := scan(file, seg.header, seg.end, size)
	if h.key != "" {
		s.keep = func(kind Kind, key []byte) bool { return kind == KindGap || kind == KindRecord && string(key) == h.key }
	}
	if seg.sum == ([sha256.Size]byte{}) {
		s.sum = nil
	}
	var seen int64
	for {
		e, err := s.next()
		if _, bad := errors.AsType[*badFrame](err); bad {
			if lost, ok := s.resync(file); ok {
				seen += max(lost, 0)
				if err := h.gap(GapDamage, seg.began(), seg.newest(), lost); err != nil {
					return err
				}
				continue
			}
		}
		if err != nil {
			return h.ended(seg, s, seen, err)
		}
		if e.Kind == KindRecord {
			seen++
		}
		if err := h.entry(ctx, e); err != nil {
			return err
		}
	}
}

// indexed hands out the frames of a key by the segment's index. It is not done, and has handed out nothing, where there is none.
func (h history) indexed(ctx context.Context, seg segment) (done bool, err error) {
	err = h.places(seg, func(e Entry, damaged error) error {
		if damaged != nil {
			return h.gap(GapDamage, seg.began(), seg.newest(), 1)
		}
		return h.entry(ctx, e)
	})
	if errors.Is(err, errIndex) {
		return false, nil
	}
	return true, err
}

// places calls f with the frames of the key and with all gaps, or with why one is damaged. The error is errIndex, before the first call,
// where the segment has no index that can be used.
func (h history) places(seg segment, f func(e Entry, damaged error) error) error {
	if h.key == "" || seg.end < 0 || seg.sum == [sha256.Size]byte{} {
		return errIndex
	}
	places, err := seg.places(h.key)
	if err != nil || len(places) == 0 {
		return err
	}
	file, err := h.open(seg.path, os.O_RDONLY, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errIndex, err) // who reads the segment says why
	}
	defer file.Close()
	for _, p := range places {
		e, err := frameAt(file, p, seg.end)
		if _, bad := errors.AsType[*badFrame](err); err != nil && !bad {
			return fmt.Errorf("%s: %w", seg.path, err)
		}
		if err := f(e, err); err != nil {
			return err
		}
	}
	return nil
}

// ended looks at why a segment has no further frame.
func (h history) ended(seg segment, s *scanner, seen int64, err error) error {
	if _, bad := errors.AsType[*badFrame](err); bad {
		return h.damaged(seg, seen)
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", seg.path, err)
	}
	none := [sha256.Size]byte{}
	if s.sum != nil && seg.sum != none && seg.sum != [sha256.Size]byte(s.sum.Sum(nil)) {
		// Each frame fits the one before, and yet they are not the ones that were written.
		return h.damaged(seg, seen)
	}
	return nil
}

func (h history) entry(ctx context.Context, e Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Kind == KindGap || e.Kind == KindRecord && (h.key == "" || h.key == e.Key) {
		return h.f(e)
	}
	return nil
}

// damaged is the gap for the rest of a segment of which seen records could be read.
func (h history) damaged(seg segment, seen int64) error {
	missing := seg.records - seen
	if seg.end < 0 || missing <= 0 {
		missing = -1
	}
	return h.gap(GapDamage, seg.began(), seg.newest(), missing)
}

func (h history) gap(reason string, first, last time.Time, records int64) error {
	data, err := encode(Gap{Reason: reason, First: first.UTC(), Last: last.UTC(), Records: records})
	if err != nil {
		return err
	}
	return h.f(Entry{Kind: KindGap, Data: data})
}
