package journal

import (
	"errors"
	"slices"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// Status returns the present health. It does not wait for the disk.
func (j *Journal) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.status
	s.Damage, s.Gaps = slices.Clone(s.Damage), slices.Clone(s.Gaps)
	s.Bytes, s.Records = totals(j.segs)
	last := j.segs[len(j.segs)-1]
	s.Segment, s.Synced = last.number, last.end
	return s
}

// Close syncs what was appended and ends the committer. Appends after it fail with ErrClosed. It returns the fault
// because of which the newest records are not stored, if there is one. A second Close does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	again := j.closed
	j.closed = true
	j.mu.Unlock()
	j.poke()
	<-j.ended
	if again {
		return nil
	}
	j.indexer.end()
	j.metrics.unregister(j.opts.Metrics)
	return errors.Join(j.closeErr, j.unlock())
}

// unlock frees the log, in the end of what hangs: until then it may be written to.
func (j *Journal) unlock() error {
	late := j.disk.hanging
	if !j.disk.hangs() {
		return j.disk.do("unlock the log", func() error { return statefile.Unlock(j.lock) })
	}
	go func() {
		<-late
		_ = statefile.Unlock(j.lock)
	}()
	return nil
}

// finish is the committer's last work on the disk. Records that were refused get a last chance to be made up for by
// a checkpoint.
func (j *Journal) finish() {
	if j.fault != nil && j.unwritten.Records > 0 {
		j.repair()
	}
	j.retry.Stop()
	j.closeErr = j.fault
	j.retire()
	if j.fault == nil {
		j.remember(true)
	}
}
