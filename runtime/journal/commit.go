package journal

import "fmt"

const (
	maxPending = 256 << 20 // bytes that wait for the committer
	keepBuffer = 4 << 20   // a larger buffer is given back after its batch
)

// batch is what was appended while the batch before was being synced.
type batch struct {
	frames []byte
	items  []item
}

// item is one append: a frame of the batch, or none when it was refused.
type item struct {
	end  int // of its frame in batch.frames
	done func(error)
	err  error
}

func (b *batch) reset() {
	clear(b.items)
	b.items, b.frames = b.items[:0], b.frames[:0]
	if cap(b.frames) > keepBuffer {
		b.frames = nil
	}
}

// Append queues a record. It does no I/O and does not wait. done is called once, from the committer's goroutine, in the
// order of the appends (so that it must not block, and must not call Close; it may call Append): with nil when the record is
// synced, with an error when it could not be stored: ErrNotDurable, ErrTooLarge, or ErrFull when 256 MiB are waiting
// (a machine has one append in flight, so that what waits is bounded by machines times record size long before). After an
// ErrNotDurable the record may nevertheless be found by the next Open, if the host dies before it has recovered. After
// Close, done is called with ErrClosed before Append returns. The journal keeps no reference to data after Append has returned.
func (j *Journal) Append(key string, data []byte, done func(error)) {
	j.hook("append")
	err := fits(key, data, MaxRecord)
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		done(ErrClosed)
		return
	}
	b := j.pending
	if err == nil && len(b.frames)+len(data) > j.room {
		err = ErrFull
	}
	if err == nil {
		b.frames = appendFrame(b.frames, KindRecord, key, data)
	}
	b.items = append(b.items, item{end: len(b.frames), done: done, err: err})
	j.mu.Unlock()
	j.poke()
}

// poke makes the committer look. One signal stands for any number of appends.
func (j *Journal) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// run is the committer. It ends when the journal was closed and everything before that is done.
func (j *Journal) run() {
	defer close(j.ended)
	for {
		select {
		case <-j.wake:
		case <-j.retry.C:
			j.repair()
		}
		b, last := j.take()
		j.commit(b)
		b.reset()
		j.spare = b
		if last {
			j.finish()
			return
		}
	}
}

// take swaps the two batches; last is true when no append can follow.
func (j *Journal) take() (b *batch, last bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	b = j.pending
	j.pending, j.spare = j.spare, nil
	return b, j.closed
}

// commit stores a batch, in pieces where it does not fit into the segment, and reports each item.
func (j *Journal) commit(b *batch) {
	start := 0
	for rest := b.items; len(rest) > 0; {
		if j.fault != nil {
			j.refuse(rest, fmt.Errorf("%w: %w", ErrNotDurable, j.fault))
			return
		}
		items := j.piece(rest, start)
		rest = rest[len(items):]
		end := items[len(items)-1].end
		if err := j.store(b.frames[start:end], stored(items)); err != nil {
			j.fail(err)
			b.frames = nil // a write that hangs still has them
			j.refuse(items, fmt.Errorf("%w: %w", ErrNotDurable, err))
			continue
		}
		j.deliver(items, nil)
		j.cur.sum.Write(b.frames[start:end])
		start = end
		if j.full() {
			j.rotate()
		}
	}
}

// piece is the beginning of items that goes into the present segment: up to and including the one that fills it.
func (j *Journal) piece(items []item, start int) []item {
	room := j.limit() - j.cur.off
	for i, it := range items {
		if int64(it.end-start) > room {
			return items[:i+1]
		}
	}
	return items
}

func stored(items []item) (n int64) {
	for _, it := range items {
		if it.err == nil {
			n++
		}
	}
	return n
}

// store writes and syncs frames and then, not before, counts them as a part of the log.
func (j *Journal) store(frames []byte, records int64) error {
	if len(frames) == 0 {
		return nil
	}
	j.hook("write")
	if err := j.cur.write(frames); err != nil {
		return err
	}
	j.hook("sync")
	began := j.opts.Now()
	if err := j.cur.sync(); err != nil {
		return err
	}
	j.metrics.synced(j.opts.Now().Sub(began), len(frames), records)
	j.publish(records)
	j.hook("synced")
	return nil
}

// publish shows what is synced to Status and History.
func (j *Journal) publish(records int64) {
	now := j.opts.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	seg := &j.segs[len(j.segs)-1]
	seg.end, seg.chain = j.cur.off, j.cur.chain
	if records > 0 {
		seg.records += records
		seg.last = latest(seg.last, now)
	}
	j.metrics.kept(j.segs)
}

// deliver calls the items' done: with err, or with what they were refused for.
func (j *Journal) deliver(items []item, err error) {
	for _, it := range items {
		if it.err != nil {
			it.done(it.err)
		} else {
			it.done(err)
		}
	}
	j.hook("done")
}

func (j *Journal) hook(point string) {
	if j.opts.Hook != nil {
		j.opts.Hook(point)
	}
}
