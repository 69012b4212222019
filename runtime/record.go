package runtime

import (
	"cmp"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// pendingRecord is a record between its decision and its effects.
type pendingRecord struct {
	rec     machine.Record
	next    *machine.Snapshot
	kept    *machine.Snapshot // next as it is stored: with its secrets sealed
	targets []*unit           // subscribed machines
	reply   func(Fired, error)
	elapsed time.Duration // of the decision
	run     int           // 1 + the watcher whose guarded look starts with this record
	// done and durable are set under the inbox's lock, by the committer.
	done    bool
	durable bool
}

// decide lets the core decide one event and records what it decided.
func (u *unit) decide(ev machine.Event, reply func(Fired, error)) {
	rec := u.prog.def.Step(u.snap, ev, u.wall)
	u.host.hook(HookDecide)
	u.record(rec, reply)
}

// record appends a record to the journal. Its effects happen in settle, when it is synced.
func (u *unit) record(rec machine.Record, reply func(Fired, error)) {
	p := &pendingRecord{rec: rec, reply: reply, elapsed: u.elapsed}
	u.pending = p
	if taken(&p.rec) {
		u.throttle.take(u.prog.def.Manifest, &p.rec, u.elapsed, u.host.cfg.Random)
		p.targets = u.host.subscribers(u, &p.rec)
	}
	var snap machine.Snapshot
	if u.snap != nil {
		snap = *u.snap
	}
	if !u.journaled() {
		next := snap.Apply(&p.rec, "")
		p.next, p.kept, p.done = &next, &next, true
		if u.prog.def.Manifest.Durable {
			u.host.book.commit(u.name, p.next, &p.rec)
		}
		return
	}
	stored := &p.rec
	if u.secretive {
		stored = u.prog.def.Seal(&p.rec, u.host.vault)
	}
	data, head, err := machine.EncodeRecord(stored)
	if err != nil {
		u.host.log.Error("record_not_encodable", "machine", u.name, "error", err)
	}
	next := snap.Apply(&p.rec, head)
	p.next, p.kept = &next, &next
	if u.secretive {
		p.kept = u.keptAfter(stored, head)
	}
	if err != nil {
		u.committed(p, err)
		return
	}
	u.host.hook(HookRecord)
	u.host.store.Append(u.name, data, func(err error) { u.committed(p, err) })
}

// committed runs on the committer's goroutine when a record is synced, or could not be.
func (u *unit) committed(p *pendingRecord, err error) {
	u.host.book.commit(u.name, p.kept, &p.rec)
	b := &u.box
	b.mu.Lock()
	p.done, p.durable = true, err == nil
	wake := b.phase == parked
	if wake {
		b.phase = queued
	}
	b.mu.Unlock()
	if wake {
		u.host.runq.push(u)
	}
}

// settle makes a recorded decision real.
func (u *unit) settle() {
	p := u.pending
	u.pending = nil
	u.host.hook(HookCommit)
	prev := u.snap
	u.snap = p.next
	if prev == nil || !prev.Entered.Equal(p.next.Entered) {
		u.since = p.elapsed
	}
	if len(p.rec.Set) > 0 {
		u.changed = p.rec.Seq
	}
	u.enterGroups(prev, p.rec.At, p.elapsed)
	u.published.Store(&published{prog: u.prog, snap: u.snap})
	if !u.journaled() {
		u.remember(&p.rec)
	}
	u.host.observe(u, &p.rec, p.durable)
	u.effects(&p.rec, p.run-1, p.durable || !u.journaled())
	u.host.deliverAll(u, &p.rec, p.targets)
	if prev == nil || prev.State != u.snap.State || p.rec.Kind == machine.RecordRecovery || p.rec.Kind == machine.RecordUpgrade {
		u.host.stateChanged(u.name) // a machine that is back after a restart was in no state before
	}
	if p.reply != nil {
		p.reply(Fired{Record: *u.shown(&p.rec), Durable: p.durable}, nil)
	}
	if u.who.ephemeral && u.ended() {
		u.retire()
	}
}

// journaled reports whether the unit's records go to the journal.
func (u *unit) journaled() bool { return u.host.store != nil && u.prog.def.Manifest.Durable }

// remember keeps the last records of a machine without a journal.
func (u *unit) remember(r *machine.Record) {
	if len(u.recent) < keepRecent {
		u.recent = append(u.recent, r)
		return
	}
	u.recent[r.Seq%keepRecent] = r
}

// remembered returns what remember has kept, oldest first.
func (u *unit) remembered() []*machine.Record {
	return slices.SortedFunc(slices.Values(u.recent), func(a, b *machine.Record) int { return cmp.Compare(a.Seq, b.Seq) })
}

// taken reports whether the record is of an event that the machine took.
func taken(r *machine.Record) bool {
	return r.Event != "" && (r.Kind == machine.RecordTransition || r.Kind == machine.RecordStay)
}
