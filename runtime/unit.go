package runtime

import (
	"sync/atomic"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// unit is one machine of a host.
type unit struct {
	host *Host
	name string // scope, then the machine's name, then for an instance ":" and its key
	who  who
	box  inbox
	// timer is guarded by the host's timers.
	timer timerEntry
	left  chan struct{} // closed when the unit has left the host
	// template is what the unit is an instance of; nil where it is none. The host's lock guards what is counted there.
	template *template
	// published is what others may see: the program and the last recorded snapshot, never modified.
	published atomic.Pointer[published]
	// slowed is set while the machine is throttled.
	slowed atomic.Pointer[slowed]
	// holders are the active watchers that hold something in the machine's name.
	holders atomic.Pointer[[]watchers.Holder]

	// All below belongs to the turn.
	prog     *program
	snap     *machine.Snapshot
	wall     time.Time                // of this turn
	elapsed  time.Duration            // of this turn
	since    time.Duration            // elapsed time when the visit began
	within   map[string]time.Duration // elapsed time when each group with deadlines was entered
	changed  uint64                   // the record that has changed the data last
	armed    time.Duration            // due time last given to the timers
	bootAt   time.Duration            // when a machine with splay_start starts, 0 otherwise
	watches  []watch
	pending  *pendingRecord
	throttle throttle
	recent   []*machine.Record // the last few of a machine that has no journal
	removed  bool              // while it is being removed; it leaves the host when all its looks have ended
	removeBy time.Duration     // when the removal stops waiting for looks
	input    map[string]any    // of its deployment
	// secretive is set where something that is stored of the machine is sealed, or has been.
	secretive bool
}

func newUnit(h *Host, name string, w who) *unit {
	u := &unit{host: h, name: name, who: w, left: make(chan struct{})}
	u.timer.unit = u
	return u
}

// who is what a unit is beside its program. It never changes.
type who struct {
	identity  string // who the machine runs as
	scope     string // what the names of that identity's units begin with: "" or "<identity>/"
	template  string // the name of the template that it is an instance of, with the scope; "" for other machines
	instance  string
	ephemeral bool // leaves the host when it has ended
	// beneficiary is whom an instance is for, "" for nobody in particular or one that an ended host has left.
	beneficiary string
}

type published struct {
	prog *program
	snap *machine.Snapshot
}

// watch is one watcher of a unit.
type watch struct {
	watcher    watchers.Watcher // made when first needed
	activation uint64           // epoch in which it became active, 0 while it is not
	running    *look
	again      watchers.Moment     // look again when the running one has ended
	why        watchers.Moment     // of the look that is due
	due        time.Duration       // elapsed time of the next look, 0 for none
	at         time.Time           // set where the next look is due by the wall clock
	started    time.Duration       // when the last look started
	basis      uint64              // what had changed the data last by then
	looked     map[string]lookedAt // by state, of a watcher whose interval holds across visits
	announce   time.Duration       // when the state is announced again, 0 for never
	tries      int                 // failed looks in a row, for retry
	starved    int                 // looks in a row that could not be made
	paths      []string            // that the notifier watches
	poked      atomic.Bool         // a change of one of them waits in the inbox, which need not hold another
	last       *lastReport
}

// hangs reports whether a look has not returned after its time-out was told.
func (w *watch) hangs() bool {
	return w.running != nil && !w.running.listener && w.running.spoken.Load()
}

// lookedAt is when a look started, and the record that had changed the data last by then.
type lookedAt struct {
	elapsed time.Duration
	changed uint64
}

// lastReport is what a watcher said last.
type lastReport struct {
	outcome string
	message string
	at      time.Time
	took    time.Duration
	state   map[string]any
	skipped string // why the look after it did not happen
}

// keepRecent is how many records a machine without a journal remembers.
const keepRecent = 8

// minDue stands for "at once", since a due time of zero is none (Clock.Elapsed is never zero).
const minDue = time.Nanosecond

// setDue arranges the next look of a watcher.
func (u *unit) setDue(w *watch, d watchers.Due, why watchers.Moment) {
	w.why, w.at = why, d.At
	switch {
	case !d.At.IsZero():
		w.due = u.elapsed + max(0, d.At.Sub(u.wall))
	case d.After > minDue:
		w.due = u.elapsed + d.After
	case d.After > 0:
		w.due = u.elapsed
	default:
		w.due = 0
	}
}

// nextDue returns the earliest time at which the unit has something to do, -1 for never.
func (u *unit) nextDue() time.Duration {
	next := time.Duration(-1)
	earlier := func(due time.Duration) {
		if due > 0 && (next < 0 || due < next) {
			next = due
		}
	}
	earlier(u.bootAt)
	earlier(u.removeBy)
	if u.snap == nil || u.removed {
		return next
	}
	if u.throttle.holds(u.elapsed) {
		earlier(u.throttle.until)
	}
	earlier(u.throttle.calm)
	if d, ok := u.deadline(); ok {
		earlier(max(d.due, u.throttle.until))
	}
	for i := range u.watches {
		earlier(u.lookDue(i))
		earlier(u.watches[i].announce)
	}
	return next
}

// lookDue returns when the next look of a watcher is due, 0 for never. One that decides an event in the turn waits while the machine
// is throttled, as every other event does.
func (u *unit) lookDue(i int) time.Duration {
	due := u.watches[i].due
	if due > 0 && u.prog.prepared[i].Inline {
		return max(due, u.throttle.until)
	}
	return due
}
