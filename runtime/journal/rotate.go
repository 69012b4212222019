package journal

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// limit is the size above which the present segment is full. It leaves at least as much room for records as the
// checkpoint took.
func (j *Journal) limit() int64 { return max(j.opts.SegmentBytes, 2*j.cur.head) }

func (j *Journal) full() bool { return j.cur.off > j.limit() }

// rotate ends the present segment and begins the next.
func (j *Journal) rotate() {
	j.hook("rotate")
	j.retire()
	if err := j.begin(nil, j.opts.Checkpoint); err != nil {
		j.fail(fmt.Errorf("begin a new segment: %w", err))
		j.arm()
	}
}

// begin makes the next segment, with the gaps to be told and a checkpoint, and drops what is too much. Nothing is
// appended to an older segment once this was tried: were a new one in place though its creation failed, its
// checkpoint would hide what came after.
func (j *Journal) begin(gaps []Gap, checkpoint func(put func(string, []byte) error) error) error {
	h := j.nextHeader()
	l := j.ledger.note(gaps...)
	drop := j.opts.surplus(j.segs, 1, h.created)
	if len(drop) > 0 {
		l = l.drop(drop)
	}
	path := filepath.Join(j.opts.Dir, segmentName(h.number))
	file, err := j.disk.open(j.opts.OpenFile, path+tmpSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create segment: %w", err)
	}
	w := newWriter(file)
	if err := j.place(w, &h, path, gaps, l, checkpoint); err != nil {
		_ = file.Close()
		_ = j.disk.remove(path + tmpSuffix)
		_ = j.disk.remove(path)
		return err
	}
	j.adopt(w, h, path, l, len(drop))
	if len(drop) > 0 {
		j.sweep()
	}
	j.remember(false)
	return nil
}

// place writes the segment and gives it its name when it is on the disk.
func (j *Journal) place(w *writer, h *header, path string, gaps []Gap, l ledger, checkpoint func(put func(string, []byte) error) error) error {
	if err := j.writeHead(w, h, gaps, l, checkpoint); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	j.hook("rename")
	if err := j.disk.rename(path+tmpSuffix, path); err != nil {
		return fmt.Errorf("place segment: %w", err)
	}
	if err := j.disk.syncDir(j.opts.Dir); err != nil {
		return err
	}
	j.hook("renamed")
	return nil
}

func (j *Journal) nextHeader() header {
	h := header{number: j.next, created: j.opts.Now()}
	j.next++
	if len(j.segs) == 0 {
		_, _ = rand.Read(h.id[:]) // never fails
		return h
	}
	last := j.segs[len(j.segs)-1]
	h.id, h.prev = last.header.id, last.closed
	return h
}

func (j *Journal) writeHead(w *writer, h *header, gaps []Gap, l ledger, checkpoint func(put func(string, []byte) error) error) error {
	b := h.encode()
	w.chain = h.crc
	w.sum.Write(b)
	if err := w.raw(b); err != nil {
		return err
	}
	frames := &headFrames{w: w}
	if err := frames.tell(gaps, l); err != nil {
		return err
	}
	if err := checkpoint(frames.state); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := frames.put(kindEnd, "", nil); err != nil {
		return err
	}
	if err := frames.flush(); err != nil {
		return err
	}
	w.head = w.off
	j.hook("checkpoint")
	return w.sync()
}

// adopt makes w the present segment.
func (j *Journal) adopt(w *writer, h header, path string, l ledger, dropped int) {
	j.cur = w
	j.mu.Lock()
	j.ledger = l
	seg := segment{path: path, header: h, linked: true}
	seg.closed = closed{number: h.number, end: w.off, chain: w.chain, last: h.created}
	j.segs = append(j.segs[dropped:len(j.segs):len(j.segs)], seg)
	j.status.Gaps = l.all()
	j.metrics.kept(j.segs)
	j.mu.Unlock()
	j.indexer.poke()
	j.hook("synced")
}

// headFrames collects frames of a segment's head, so that a checkpoint of any size takes little memory.
type headFrames struct {
	w   *writer
	buf []byte
}

func (f *headFrames) put(kind Kind, key string, data []byte) error {
	f.buf = appendFrame(f.buf, kind, key, data)
	if len(f.buf) < minStep {
		return nil
	}
	return f.flush()
}

func (f *headFrames) state(key string, state []byte) error {
	if err := fits(key, state, MaxState); err != nil {
		return err
	}
	return f.put(KindCheckpoint, key, state)
}

// tell puts gaps where they happened, and the ledger that lists them.
func (f *headFrames) tell(gaps []Gap, l ledger) error {
	for _, gap := range gaps {
		data, err := encode(gap)
		if err != nil {
			return err
		}
		if err := f.put(KindGap, "", data); err != nil {
			return err
		}
	}
	data, err := encode(l)
	if err != nil {
		return err
	}
	return f.put(kindLedger, "", data)
}

func (f *headFrames) flush() error {
	if err := f.w.write(f.buf); err != nil {
		return err
	}
	f.w.sum.Write(f.buf)
	f.buf = f.buf[:0]
	return nil
}

// surplus are the oldest segments that the limits do not allow to keep, but for the newest ones, keep of them.
func (o Options) surplus(segs []segment, keep int, now time.Time) []segment {
	bytes, records := totals(segs)
	oldest := now.Add(-o.KeepAge)
	n := 0
	for n < len(segs)-keep {
		seg := segs[n]
		if bytes <= o.KeepBytes && records <= o.KeepRecords && !seg.newest().Before(oldest) {
			break
		}
		bytes, records = bytes-max(seg.end, 0), records-seg.records
		n++
	}
	return segs[:n]
}

// sweep removes the files of what the synced ledger says is dropped, leftovers of earlier attempts and what was set aside
// of them included.
func (j *Journal) sweep() {
	through := j.ledger.Through
	if err := j.disk.do("remove", func() error { return j.opts.removeThrough(through) }); err != nil {
		j.opts.Log.Warn("dropped segments are still there", "dir", j.opts.Dir, "error", err)
	}
}

// removeThrough removes the files of the segments up to a number, and the leftovers of all.
func (o Options) removeThrough(through uint64) error {
	entries, err := os.ReadDir(o.Dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		number, ok := segmentNumber(entry.Name())
		if !ok || number > through && !strings.HasSuffix(entry.Name(), tmpSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(o.Dir, entry.Name())); err != nil {
			o.Log.Warn("dropped segment is still there", "file", entry.Name(), "error", err)
		}
	}
	// If the removal is not on the disk at a crash, the next Open sweeps again.
	_ = statefile.SyncDir(o.Dir)
	return nil
}
