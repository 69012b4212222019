package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

const (
	maxAside      = 64 << 20 // bytes copied of one damaged tail
	maxAsideFiles = 8        // of one segment; a newer one replaces the last
)

// create begins a log, anew where there are segments of which none can be used. There is no state to write a checkpoint of.
func (j *Journal) create(unusable []segment, lost []Gap) error {
	gaps := append(lost, j.confess(unusable, time.Time{})...)
	if err := j.begin(gaps, func(func(string, []byte) error) error { return nil }); err != nil {
		return err
	}
	j.setAside(unusable)
	return nil
}

// resume prepares the newest usable segment for appending. What it cannot do makes a fault, from which a new
// segment recovers later; what was read counts all the same.
func (j *Journal) resume(got findings, unusable []segment, lost []Gap) {
	seg := j.segs[len(j.segs)-1]
	j.owed = append(lost, j.confess(unusable, seg.header.created)...)
	err := j.reopen(seg, got)
	if err == nil {
		err = j.tellAtOpen()
	}
	j.mu.Lock()
	j.status.Gaps = j.ledger.note(j.owed...).all()
	j.mu.Unlock()
	if err != nil {
		j.fail(err)
		return
	}
	// Only when the gap is written down: a crash in between finds the damage again instead of forgetting it.
	j.setAside(unusable)
	j.sweep()
	j.remember(true)
}

// confess records segments that cannot be used and returns the gap they leave.
func (j *Journal) confess(unusable []segment, since time.Time) []Gap {
	for _, seg := range unusable {
		var size int64
		if info, err := os.Stat(seg.path); err == nil {
			size = info.Size()
		}
		d := Damage{Segment: filepath.Base(seg.path), Reason: seg.broken.Error(), Lost: size}
		if bad, ok := errors.AsType[*badFrame](seg.broken); ok {
			d.Offset, d.Reason = bad.offset, bad.reason
		}
		j.status.Damage = append(j.status.Damage, d)
	}
	if len(unusable) == 0 {
		return nil
	}
	return []Gap{j.damageGap(since)}
}

func (j *Journal) damageGap(since time.Time) Gap {
	now := j.opts.Now().UTC()
	if since.IsZero() {
		since = now
	}
	return Gap{Reason: GapDamage, First: since.UTC(), Last: now, Records: -1}
}

// reopen opens the segment for writing behind its good prefix. A damaged rest is cut off when it is safe elsewhere.
func (j *Journal) reopen(seg segment, got findings) error {
	if got.damage != nil {
		n, err := copyRest(seg.path, got.end, got.size)
		d := Damage{Segment: filepath.Base(seg.path), Offset: got.damage.offset, Reason: got.damage.reason, Lost: n}
		j.status.Damage = append(j.status.Damage, d)
		j.owed = append(j.owed, j.damageGap(seg.header.created))
		if err != nil {
			return err
		}
	}
	file, err := j.disk.open(j.opts.OpenFile, seg.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open segment for writing: %w", err)
	}
	j.cur = &writer{file: file, off: got.end, size: got.size, head: got.headEnd, chain: got.chain, sum: got.hash}
	if got.damage == nil {
		return nil
	}
	if err := file.Truncate(got.end); err != nil {
		return fmt.Errorf("cut off damage: %w", err)
	}
	j.cur.size = got.end
	return j.cur.sync()
}

// tellAtOpen writes down the damage that was found and what retention drops now.
func (j *Journal) tellAtOpen() error {
	l := j.ledger.note(j.owed...)
	drop := j.opts.surplus(j.segs, 2, j.opts.Now())
	if len(drop) > 0 {
		l = l.drop(drop)
	}
	if len(drop) == 0 && len(j.owed) == 0 {
		return nil
	}
	frames := &headFrames{}
	if err := frames.tell(j.owed, l); err != nil {
		return err
	}
	if err := j.store(frames.buf, 0); err != nil {
		return err
	}
	j.cur.sum.Write(frames.buf)
	j.segs = slices.Delete(j.segs, 0, len(drop))
	j.ledger, j.owed = l, nil
	return nil
}

// setAside renames segments that cannot be used. One that cannot be renamed is found again by the next Open.
func (j *Journal) setAside(unusable []segment) {
	for _, seg := range unusable {
		if err := os.Rename(seg.path, asidePath(seg.path)); err != nil {
			j.opts.Log.Warn("damaged segment is still there", "segment", seg.path, "error", err)
		}
	}
	_ = statefile.SyncDir(j.opts.Dir)
}

// asidePath is a free name for what was damaged in a segment.
func asidePath(path string) string {
	name := path + asideSuffix
	for n := 2; n <= maxAsideFiles; n++ {
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name
		}
		name = fmt.Sprintf("%s%s-%d", path, asideSuffix, n)
	}
	return name
}

// copyRest copies what is behind the good prefix of a segment, without the zeros at its end, and returns its size.
func copyRest(path string, from, size int64) (int64, error) {
	in, err := statefile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("set damage aside: %w", err)
	}
	defer in.Close()
	rest := io.NewSectionReader(in, from, size-from)
	n, err := trimmed(rest)
	if err != nil {
		return 0, fmt.Errorf("set damage aside: %w", err)
	}
	out, err := statefile.Open(asidePath(path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, fmt.Errorf("set damage aside: %w", err)
	}
	copied, err := io.Copy(out, io.NewSectionReader(rest, 0, min(n, maxAside)))
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return 0, fmt.Errorf("set damage aside: %w", err)
	}
	return copied, nil
}

// trimmed is the size of r up to its last byte that is not zero.
func trimmed(r *io.SectionReader) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := r.Size(); end > 0; {
		from := max(0, end-int64(len(buf)))
		part := buf[:end-from]
		if _, err := r.ReadAt(part, from); err != nil {
			return 0, err
		}
		for i, b := range slices.Backward(part) {
			if b != 0 {
				return from + int64(i) + 1, nil
			}
		}
		end = from
	}
	return 0, nil
}
