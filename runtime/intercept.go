package runtime

import (
	"github.com/statecraft-io/statecraft/watchers"
)

// PendingLook is a look that Config.Intercept was given in place of its being executed. It has its governor's slot and its place among the
// looks that run at once, and its time-out counts in the host's time: whoever completes it asks TimeUp and Cancelled, as a watcher hears of
// both by its context.
type PendingLook struct {
	look   *look
	pool   *lookPool
	timeUp bool
	off    []func() // call off what waits for its time
}

// place gives a look a place among those that run at once; false where it waits for one, or none begins any more.
func (p *lookPool) place(l *look) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
		return false
	case l.listener:
		return true
	case p.running >= p.max:
		p.waiting = append(p.waiting, l)
		return false
	}
	p.running++
	return true
}

// hand gives a look to Config.Intercept, which may complete it before it returns.
func (p *lookPool) hand(l *look) {
	pending := &PendingLook{look: l, pool: p}
	if !l.listener {
		h := l.unit.host
		l.view.Deadline = h.cfg.Clock.Now().Add(l.timeout)
		pending.off = []func(){
			h.after(l.timeout, func() { pending.timeUp = true }),
			h.after(l.timeout+graceAfterTimeout, l.giveUp),
		}
	}
	p.hands(pending)
}

// left gives the place of a look that has been completed to the one that has waited longest.
func (p *lookPool) left() {
	if next := p.nextInPlace(); next != nil {
		p.hand(next)
	}
}

func (p *lookPool) nextInPlace() *look {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 || p.stopped {
		p.running--
		return nil
	}
	next := p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	return next
}

// Machine and Watcher name what the look belongs to.
func (p *PendingLook) Machine() string { return p.look.unit.name }

// Watcher is the name of the watcher.
func (p *PendingLook) Watcher() string { return p.look.name }

// View is what the watcher would be given.
func (p *PendingLook) View() *watchers.Look { return &p.look.view }

// Listener reports whether the watcher pushes reports until its activation ends.
func (p *PendingLook) Listener() bool { return p.look.listener }

// Emit gives a report of a listener, which goes on listening.
func (p *PendingLook) Emit(rep watchers.Report) { p.look.report(rep, false) }

// Complete ends the look with a report. It is called once.
func (p *PendingLook) Complete(rep watchers.Report) {
	if p.look.listener {
		p.look.report(rep, true)
		return
	}
	for _, off := range p.off {
		off()
	}
	p.look.finish(rep, p.timeUp)
	if p.look.release != nil {
		p.look.release()
	}
	p.pool.left()
}

// Cancelled reports whether the look's activation has ended or the host is stopping.
func (p *PendingLook) Cancelled() bool { return p.look.ctx.Err() != nil }

// TimeUp reports whether the look's time-out has passed. One that is not completed soon after is a look that hangs: its time-out is
// reported in its place.
func (p *PendingLook) TimeUp() bool { return p.timeUp }
