package journal

import "time"

// retryPeriod is the time between attempts to become durable again.
const retryPeriod = time.Second

// fail ends the use of the present segment. A failed sync is never tried again: the kernel may have dropped what it
// could not write and would report success. The segment's end stays where it was synced last.
func (j *Journal) fail(cause error) {
	j.retire()
	j.blame(cause)
	j.opts.Log.Error("the log does not store records", "dir", j.opts.Dir, "error", cause)
}

// blame shows why nothing is stored.
func (j *Journal) blame(cause error) {
	j.fault = cause
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.status.Durable {
		j.status.Since = j.opts.Now()
	}
	j.status.Durable, j.status.Fault = false, cause
	j.metrics.durable.Set(0)
}

// absolve is the end of a fault.
func (j *Journal) absolve() {
	j.fault, j.owed, j.unwritten = nil, nil, Gap{}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.status.Durable, j.status.Since, j.status.Fault = true, time.Time{}, nil
	j.metrics.durable.Set(1)
}

// arm has recovery tried after a while. A fault found by Open waits for the first append, as a checkpoint needs a
// host that has finished starting.
func (j *Journal) arm() {
	if !j.armed {
		j.armed = true
		j.retry.Reset(retryPeriod)
	}
}

// repair begins a new segment with a checkpoint of everything, which makes up for what could not be written.
func (j *Journal) repair() {
	j.armed = false
	lost := j.unwritten.Records
	if err := j.begin(j.debt(), j.opts.Checkpoint); err != nil {
		j.blame(err)
		j.arm()
		j.opts.Log.Debug("the log still does not store records", "dir", j.opts.Dir, "error", err)
		return
	}
	j.absolve()
	j.opts.Log.Warn("the log stores records again", "dir", j.opts.Dir, "lost_records", lost)
}

// debt are the gaps that the next segment has to tell of.
func (j *Journal) debt() []Gap {
	if j.unwritten.Records == 0 {
		return j.owed
	}
	return append(j.owed[:len(j.owed):len(j.owed)], j.unwritten)
}

// refuse answers appends while the journal is not durable, and counts them.
func (j *Journal) refuse(items []item, err error) {
	now := j.opts.Now().UTC()
	if j.unwritten.Records == 0 {
		j.unwritten = Gap{Reason: GapUnwritten, First: now}
	}
	j.unwritten.Last = latest(j.unwritten.Last, now)
	j.unwritten.Records += stored(items)
	j.arm()
	j.deliver(items, err)
}

// retire ends the present segment where it was synced last and cuts off what is behind. That is only tidy: the
// next segment's header says where this one ends.
func (j *Journal) retire() {
	if j.cur == nil {
		return
	}
	j.mu.Lock()
	seg := &j.segs[len(j.segs)-1]
	copy(seg.sum[:], j.cur.sum.Sum(nil))
	end := seg.end
	j.mu.Unlock()
	_ = j.cur.file.Truncate(end)
	_ = j.cur.file.Close()
	j.cur = nil
}
