package runtime

import (
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// turnLength bounds the messages of one turn, so that a busy machine does not keep a worker.
const turnLength = 64

// turn gives the unit its turn: effects of what was synced, then message by message until it has to wait.
func (u *unit) turn() {
	u.box.mu.Lock()
	u.box.phase = turning
	u.box.mu.Unlock()
	for range turnLength {
		u.wall, u.elapsed = u.host.cfg.Clock.Now(), u.host.cfg.Clock.Elapsed()
		if !u.settleAll() {
			return
		}
		if !u.takeOne() {
			break
		}
	}
	if u.settleAll() {
		u.rest()
	}
}

// settleAll settles the pending record and those that its effects leave at once, as a look in the turn does. It is false where
// the unit has been parked. No message is taken before: it would be decided on a state that is about to change.
func (u *unit) settleAll() bool {
	for u.pending != nil {
		if !u.settleOrPark() {
			return false
		}
	}
	return true
}

// settleOrPark lets the effects of a synced record happen, or parks the unit until it is synced.
func (u *unit) settleOrPark() (settled bool) {
	b := &u.box
	b.mu.Lock()
	if !u.pending.done {
		b.phase = parked
		b.mu.Unlock()
		return false
	}
	b.mu.Unlock()
	u.settle()
	return true
}

// rest ends the turn: back on the run queue if there is more, else asleep until the next due time.
func (u *unit) rest() {
	if u.removed && u.quiet() {
		u.leaveHost()
		return
	}
	u.showThrottled()
	due := u.nextDue()
	b := &u.box
	b.mu.Lock()
	if due >= 0 && due <= u.elapsed {
		b.due = true
	}
	held := u.throttle.until > u.elapsed
	more := b.due || b.jumped || u.pending != nil || b.operator.len() > 0 || b.others.len() > 0 && !held
	b.phase = idle
	if more {
		b.phase = queued
	}
	if due > u.elapsed && due != u.armed {
		u.armed = due
		u.host.timers.set(u, due)
	} else if due < 0 && u.armed > 0 {
		u.armed = 0
		u.host.timers.set(u, -1)
	}
	b.mu.Unlock()
	if more {
		u.host.runq.push(u)
	}
}

// takeOne takes the next thing to do, an operator's first, then what is due, then the rest in order.
func (u *unit) takeOne() bool {
	b := &u.box
	b.mu.Lock()
	jumped, due := b.jumped, b.due
	switch {
	case b.operator.len() > 0:
		m := b.operator.pop()
		b.mu.Unlock()
		u.handle(m)
		return true
	case due || jumped:
		b.due, b.jumped = false, false
		b.mu.Unlock()
		u.armed = 0
		u.takeDue(jumped)
		return true
	case b.others.len() > 0 && !u.throttle.holds(u.elapsed):
		m := b.others.pop()
		b.mu.Unlock()
		u.handle(m)
		return true
	}
	b.mu.Unlock()
	return false
}

// handle takes one message.
func (u *unit) handle(m message) {
	switch {
	case m.control != nil:
		m.control()
	case u.snap == nil || u.removed:
		u.handleAbsent(m)
	case m.event != nil:
		u.decide(*m.event, m.reply)
	case m.delivery != nil:
		u.deliver(*m.delivery)
	case m.report != nil:
		u.takeReport(m.report)
	case m.poke != nil:
		u.poke(m.poke)
	case m.foreign != "":
		u.foreignChanged(m.foreign)
	}
}

// handleAbsent takes a message of a machine that has not started or is being removed.
func (u *unit) handleAbsent(m message) {
	if m.reply != nil {
		m.reply(Fired{}, ErrUnknownMachine)
	}
	if m.report != nil && m.report.ended {
		u.forget(m.report.look)
	}
}

// takeDue does the first thing that is due; what is due beside it stays so for the next round.
func (u *unit) takeDue(jumped bool) {
	if u.bootAt > 0 && u.bootAt <= u.elapsed {
		u.bootAt = 0
		u.boot()
		return
	}
	if u.snap == nil || u.removed {
		return
	}
	if jumped {
		u.replan()
	}
	if d, ok := u.deadline(); ok && d.due <= u.elapsed && !u.throttle.holds(u.elapsed) {
		u.signalAgain()
		u.decide(d.event(u), nil)
		return
	}
	for i := range u.watches {
		w := &u.watches[i]
		if w.announce > 0 && w.announce <= u.elapsed {
			u.announceAgain(i)
		}
		if due := u.lookDue(i); due > 0 && due <= u.elapsed {
			why := w.why
			w.due = 0
			u.signalAgain()
			u.look(i, why)
			return
		}
	}
}

// signalAgain makes the turn come back to what is due.
func (u *unit) signalAgain() {
	u.box.mu.Lock()
	u.box.due = true
	u.box.mu.Unlock()
}

// replan asks the active planners again after the wall clock was set.
func (u *unit) replan() {
	for i := range u.watches {
		w := &u.watches[i]
		if p, ok := w.watcher.(watchers.Planner); ok && w.activation != 0 {
			due, at, why := w.due, w.at, w.why
			var next watchers.Due
			u.ask(i, func() { next = p.Plan(u.planning(i, watchers.Jumped)) })
			u.setDue(w, next, watchers.Interval)
			if due > 0 && at.IsZero() && (w.due == 0 || due < w.due) {
				w.due, w.at, w.why = due, at, why // the wall clock has nothing to do with it: a clock set often must not delay it for ever
			}
		}
	}
}

// deliver takes an event that another machine took.
func (u *unit) deliver(d delivery) {
	if d.noted && !u.host.book.owes(u.name, d) {
		return // a machine that starts finds in the book what may also be on its way
	}
	from, _, _ := strings.Cut(strings.TrimPrefix(d.Machine, u.who.scope), ":")
	name := u.prog.takes(subscription{from, d.Event}, u.snap.State)
	if name == "" {
		u.host.book.cancel(u.name, d)
		return
	}
	u.decide(machine.Event{
		Name:  name,
		Cause: machine.Cause{Kind: machine.CauseSubscription, Machine: d.Machine, Seq: d.Seq, Name: d.Event},
	}, nil)
}
