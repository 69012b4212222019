package runtime

import (
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// message is one thing for a unit to take in its turn. Exactly one part is set; reply belongs to event.
type message struct {
	event    *machine.Event // from an operator, or of an interrupted look
	delivery *delivery      // of a subscription
	report   *lookReport
	control  func() // runs in the turn: deployment, removal, inspection
	foreign  string // a machine whose state some watcher requires has changed
	poke     *watch // a path that the watcher asked about has changed
	reply    func(Fired, error)
}

// lookReport is what a look said, with the look for fencing it.
type lookReport struct {
	look   *look
	report watchers.Report
	ended  bool // the look has returned; listeners and given-up looks report before that too
	late   bool // the watchdog has reported in the look's place: only its end counts
}

// phase is where a unit stands between its turns.
type phase uint8

const (
	idle    phase = iota // nothing to do
	queued               // on the run queue
	turning              // a worker has it
	parked               // waits for its record to be synced
	gone                 // removed; takes no more messages
)

// inbox holds a unit's waiting messages and its phase. It is the only part of a unit that others touch.
type inbox struct {
	mu       sync.Mutex
	phase    phase
	due      bool // a due time has come
	jumped   bool // the wall clock was set
	operator fifo // operators' events and control, taken first
	others   fifo
}

// fifo is a queue that gives its memory back when it runs empty.
type fifo struct {
	items []message
	head  int
}

const fifoKeep = 16 // capacity that an empty queue may keep

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(m message) {
	if q.head > 0 && len(q.items) == cap(q.items) && q.head >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, m)
}

func (q *fifo) pop() message {
	m := q.items[q.head]
	q.items[q.head] = message{}
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > fifoKeep {
			q.items = nil
		}
	}
	return m
}

// post puts a message into a unit's inbox and the unit on the run queue. An operator's message overtakes the
// others. limit bounds the queue it goes to; 0 is no limit, for messages that are bounded by what causes them.
func (u *unit) post(m message, operator bool, limit int) error {
	u.host.hook(HookAccept)
	b := &u.box
	b.mu.Lock()
	if b.phase == gone {
		b.mu.Unlock()
		return ErrUnknownMachine
	}
	q := &b.others
	if operator {
		q = &b.operator
	}
	if limit > 0 && q.len() >= limit {
		b.mu.Unlock()
		u.host.metrics.overflow.Inc()
		return ErrBusy
	}
	q.push(m)
	wake := b.wake()
	b.mu.Unlock()
	if wake {
		u.host.runq.push(u)
	}
	return nil
}

// wake reports whether the caller, who holds the lock, must put the unit on the run queue.
func (b *inbox) wake() bool {
	if b.phase != idle {
		return false
	}
	b.phase = queued
	return true
}

// signal tells a unit that something is due or, with jumped, that the wall clock was set.
func (u *unit) signal(jumped bool) {
	b := &u.box
	b.mu.Lock()
	b.due = true
	b.jumped = b.jumped || jumped
	wake := b.wake()
	b.mu.Unlock()
	if wake {
		u.host.runq.push(u)
	}
}
