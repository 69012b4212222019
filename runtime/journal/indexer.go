package journal

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// indexer makes the indexes that closed segments lack, one at a time, and rests as long as each took: a log of an older release gets
// them within seconds or minutes, and a host has half a processor left at least. It ends with the journal; what it has not made is made
// by the next one.
type indexer struct {
	wake  chan struct{}
	quit  chan struct{} // closed by Close
	ended chan struct{}
}

func newIndexer() *indexer {
	return &indexer{wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{})}
}

// poke makes the indexer look for segments without an index.
func (x *indexer) poke() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// end ends the indexer, and waits a moment for it: a disk that hangs may hold it.
func (x *indexer) end() {
	close(x.quit)
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	select {
	case <-x.ended:
	case <-patience.C:
	}
}

func (x *indexer) over() bool {
	select {
	case <-x.quit:
		return true
	default:
		return false
	}
}

// run is the indexer's goroutine.
func (x *indexer) run(j *Journal) {
	defer close(x.ended)
	done := map[uint64]bool{} // segments that have an index, or of which none can be made
	for {
		select {
		case <-x.quit:
			return
		case <-x.wake:
		}
		j.mu.Lock()
		closed := slices.Clone(j.segs[:len(j.segs)-1])
		j.mu.Unlock()
		for _, seg := range slices.Backward(closed) {
			if done[seg.number] || x.over() {
				continue
			}
			done[seg.number] = true
			x.index(j, seg)
		}
	}
}

// index makes the index of a segment that has none.
func (x *indexer) index(j *Journal, seg segment) {
	if seg.broken != nil {
		j.foundDamage(seg, seg.broken)
		return
	}
	if seg.end < 0 {
		return
	}
	if file, _, _, err := openIndex(seg); err == nil {
		_ = file.Close()
		return
	}
	began := time.Now() //nolint:forbidigo // it rests for as long as the disk was busy, which is no time of a machine
	data, err := makeIndex(seg, j.opts.OpenFile, x.over)
	if err == nil {
		err = writeIndex(seg.indexPath(), data)
	}
	bad, damaged := errors.AsType[*badFrame](err)
	switch {
	case err == nil, errors.Is(err, ErrClosed), errors.Is(err, fs.ErrNotExist): // retention was faster
	case damaged:
		j.foundDamage(seg, bad)
	default:
		j.opts.Log.Warn("segment_not_indexed", "segment", seg.path, "error", err, "consequence", "looking for a machine's records reads all of it")
	}
	rest := time.NewTimer(time.Since(began)) //nolint:forbidigo // as above
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-x.quit:
	}
}

// foundDamage notes that an older segment cannot be read to its end: no machine goes on from it, and its history has a gap.
func (j *Journal) foundDamage(seg segment, cause error) {
	d := Damage{Segment: filepath.Base(seg.path), Reason: cause.Error()}
	if bad, ok := errors.AsType[*badFrame](cause); ok {
		d.Offset, d.Reason = bad.offset, bad.reason
	}
	j.mu.Lock()
	known := slices.ContainsFunc(j.status.Damage, func(of Damage) bool { return of.Segment == d.Segment })
	if !known {
		j.status.Damage = append(j.status.Damage, d)
	}
	j.mu.Unlock()
	if !known {
		j.opts.Log.Error("log_damaged", "segment", d.Segment, "offset", d.Offset, "reason", d.Reason, "lost_bytes", d.Lost)
	}
}
