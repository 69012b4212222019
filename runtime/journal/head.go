package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// Head is how far a log reached, and a digest of all of it: the segment's own bytes, and by its header those of the segment before, and so on.
// Who has a head finds whatever was changed before it, however well the log's own checksums were made anew.
type Head struct {
	Log     string `json:"log"`     // the id in the segments' headers, in hexadecimal digits
	Segment uint64 `json:"segment"` // the number of the newest one
	Size    int64  `json:"size"`    // bytes of it that were synced
	Sum     string `json:"sum"`     // SHA-256 of those, in hexadecimal digits
}

// Head returns the head of the log as it is synced, and calls f with the checkpoint and the records of its newest segment: the state of all
// keys at the head. It reads the segment, up to some 16 MiB, and may run beside appends.
func (j *Journal) Head(ctx context.Context, f func(Entry) error) (Head, error) {
	s, found := j.Status(), make(chan Head, 1)
	err := interruptible(ctx, func() error {
		path := filepath.Join(j.opts.Dir, segmentName(s.Segment))
		return eachHead(ctx, path, s.Segment, j.opts.OpenFile, []int64{s.Synced}, f, func(h Head) error {
			found <- h
			return nil
		})
	})
	if err != nil {
		return Head{}, err
	}
	select {
	case h := <-found:
		return h, nil
	default:
		return Head{}, fmt.Errorf("%s does not reach %d bytes, which were synced", segmentName(s.Segment), s.Synced)
	}
}

// ReadHeads reads a segment of a log and calls f with its checkpoint and its records, and reached at each of the sizes, ascending, that lies
// between two of them, with the head that the log had there. It takes no lock and writes nothing.
func ReadHeads(ctx context.Context, dir string, segment uint64, sizes []int64, f func(Entry) error, reached func(Head) error) error {
	return interruptible(ctx, func() error {
		return eachHead(ctx, filepath.Join(dir, segmentName(segment)), segment, openFile, sizes, f, reached)
	})
}

func eachHead(ctx context.Context, path string, number uint64, open opener, sizes []int64, f func(Entry) error, reached func(Head) error) error {
	header, err := readHeader(path, number, open)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	file, _, err := openSized(path, open)
	if err != nil {
		return err
	}
	defer file.Close()
	s := scan(file, header, sizes[len(sizes)-1], 0)
	for {
		for len(sizes) > 0 && sizes[0] <= s.off {
			if sizes[0] == s.off {
				h := Head{Log: hex.EncodeToString(header.id[:]), Segment: number, Size: s.off, Sum: hex.EncodeToString(s.sum.Sum(nil))}
				if err := reached(h); err != nil {
					return err
				}
			}
			sizes = sizes[1:]
		}
		if len(sizes) == 0 {
			return ctx.Err()
		}
		e, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && (e.Kind == KindCheckpoint || e.Kind == KindRecord) {
			err = f(e)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// Standing is what a log is to a head.
type Standing string

// The standings of a log.
const (
	Holds   Standing = "holds"   // up to the head it is as it was
	Departs Standing = "departs" // it was changed, cut, or is another one
	TooOld  Standing = "too_old" // what the head is of is not kept any more
)

// HeadCheck is what came of holding a log against a head.
type HeadCheck struct {
	Head     Head     `json:"head"`
	Standing Standing `json:"standing"`
	Reason   string   `json:"reason,omitempty"` // where it departs
}

// Checked is what a log is by itself, and against heads.
type Checked struct {
	Log   string // its id
	First uint64 // the numbers of the segments that are kept
	Last  uint64
	Began time.Time // when the first of them was begun, as it says
	End   int64     // bytes of the last one
	Kept  int64     // records
	Wrong []string  // where the log's own checksums do not hold
	Heads []HeadCheck
}

// Check holds a log against its own checksums, and against heads of it. It takes no lock and writes nothing; a folder without a log is
// fs.ErrNotExist. Heads are answered in their order.
func Check(ctx context.Context, dir string, heads []Head) (Checked, error) {
	result := make(chan Checked, 1)
	err := interruptible(ctx, func() error {
		c, err := check(ctx, dir, heads)
		if errors.Is(err, errGone) { // a host that runs drops what is old
			c, err = check(ctx, dir, heads)
		}
		result <- c
		return err
	})
	if err != nil {
		return Checked{}, err
	}
	return <-result, nil
}

func check(ctx context.Context, dir string, heads []Head) (c Checked, err error) {
	found, unusable, got, err := surveyDir(dir, openFile)
	if err != nil {
		return c, err
	}
	k := checking{result: &c}
	for _, seg := range unusable {
		k.wrong("%s cannot be used: %v", filepath.Base(seg.path), seg.broken)
	}
	if len(found) > 0 {
		k.segs = link(found, got.ledger.Through)
		last := &k.segs[len(k.segs)-1]
		last.closed = got.closed
		if got.damage != nil && !inUse(dir) {
			k.wrong("%s: %v", filepath.Base(last.path), got.damage)
		}
		c.Log, c.First, c.Last, c.End = hex.EncodeToString(last.header.id[:]), k.segs[0].number, last.number, last.end
		c.Began = k.segs[0].began()
		_, c.Kept = totals(k.segs)
	}
	return c, k.all(ctx, heads)
}

// checking is a check in progress.
type checking struct {
	segs   []segment
	result *Checked
}

func (k *checking) all(ctx context.Context, heads []Head) error {
	for i, seg := range k.segs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := k.intact(seg, i == len(k.segs)-1); err != nil {
			return err
		}
	}
	for _, h := range heads {
		reason, err := k.against(h)
		if err != nil {
			return err
		}
		k.result.Heads = append(k.result.Heads, reason)
	}
	return ctx.Err()
}

// intact holds a segment against what the one after it says of it.
func (k *checking) intact(seg segment, newest bool) error {
	name := filepath.Base(seg.path)
	switch {
	case seg.broken != nil:
		k.wrong("%s: %v", name, seg.broken)
		return nil //nolint:nilerr // it is a finding, no fault of the check
	case !seg.linked:
		k.wrong("%s: the segment before it is missing or another one", name)
	}
	if newest || seg.end < 0 || seg.sum == [sha256.Size]byte{} {
		return nil
	}
	sum, size, err := sumOf(seg.path, seg.end)
	switch {
	case err != nil:
		return err
	case size < seg.end:
		k.wrong("%s ends at %d bytes; the segment after it says that it had %d", name, size, seg.end)
	case sum != hex.EncodeToString(seg.sum[:]):
		k.wrong("%s is not what the segment after it says", name)
	}
	return nil
}

func (k *checking) wrong(format string, args ...any) {
	k.result.Wrong = append(k.result.Wrong, fmt.Sprintf(format, args...))
}

// against holds the log against a head.
func (k *checking) against(h Head) (HeadCheck, error) {
	departs := func(format string, args ...any) (HeadCheck, error) {
		return HeadCheck{Head: h, Standing: Departs, Reason: fmt.Sprintf(format, args...)}, nil
	}
	if len(k.segs) == 0 {
		return departs("nothing of the log can be read")
	}
	name, last := segmentName(h.Segment), k.segs[len(k.segs)-1]
	if h.Log != k.result.Log {
		return departs("this log is another one (%s) than the head is of (%s): of another host, or begun anew", k.result.Log, h.Log)
	}
	if h.Segment > last.number {
		return departs("the log is cut at its end, or an older copy: it ends in %s, and had reached %s", filepath.Base(last.path), name)
	}
	if h.Segment < k.segs[0].number {
		return HeadCheck{Head: h, Standing: TooOld, Reason: name + " is not kept any more"}, nil
	}
	for _, seg := range k.segs {
		if seg.number != h.Segment {
			continue
		}
		sum, size, err := sumOf(seg.path, h.Size)
		switch {
		case err != nil:
			return HeadCheck{}, err
		case size < h.Size, seg.end >= 0 && seg.end < h.Size:
			return departs("the log is cut at its end, or an older copy: %s ends at %d bytes, and had %d", name, min(size, max(seg.end, 0)), h.Size)
		case sum != h.Sum:
			return departs("%s, or a segment before it, was rewritten within its first %d bytes", name, h.Size)
		}
		return HeadCheck{Head: h, Standing: Holds}, nil
	}
	return departs("%s is missing, though older segments are there", name)
}

// sumOf is the SHA-256 of the first bytes of a file, in hexadecimal digits, and how many of them there are.
func sumOf(path string, n int64) (sum string, size int64, err error) {
	file, err := statefile.Open(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, fmt.Errorf("%w: %s", errGone, filepath.Base(path))
	}
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.Copy(hash, io.LimitReader(file, n))
	return hex.EncodeToString(hash.Sum(nil)), size, err
}
