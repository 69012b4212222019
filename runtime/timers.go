package runtime

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/runtime/clock"
)

// timers wakes units when something of theirs is due. A unit has one entry, for the earliest of all that it
// waits for; what that is, the unit finds out in its turn. In a simulation, calls after a time have entries, too.
type timers struct {
	mu      sync.Mutex
	heap    timerHeap
	clock   clock.Clock
	changed chan struct{} // the earliest entry is another one
}

// timerEntry is a place in the heap, of a unit or of a call. index is 0 when it has none.
type timerEntry struct {
	due   time.Duration
	index int    // 1 + position
	unit  *unit  // nil for a call
	call  func() // nil for a unit
}

func newTimers(c clock.Clock) *timers {
	return &timers{clock: c, changed: make(chan struct{}, 1)}
}

// set replaces the unit's entry; a negative due removes it.
func (t *timers) set(u *unit, due time.Duration) {
	t.place(&u.timer, due)
}

// after calls f once a time has passed, on the goroutine of fire. f must not block.
func (t *timers) after(d time.Duration, f func()) (stop func()) {
	e := &timerEntry{call: f}
	t.place(e, t.clock.Elapsed()+d)
	return func() { t.place(e, -1) }
}

func (t *timers) place(e *timerEntry, due time.Duration) {
	t.mu.Lock()
	switch {
	case due < 0 && e.index > 0:
		heap.Remove(&t.heap, e.index-1)
	case due < 0:
	case e.index > 0:
		e.due = due
		heap.Fix(&t.heap, e.index-1)
	default:
		e.due = due
		heap.Push(&t.heap, e)
	}
	first := e.index == 1
	t.mu.Unlock()
	if first {
		select {
		case t.changed <- struct{}{}:
		default:
		}
	}
}

// next returns the earliest due time.
func (t *timers) next() (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return -1, false
	}
	return t.heap[0].due, true
}

// fire signals every unit and makes every call whose time has come, and returns the next due time, -1 for none.
func (t *timers) fire() time.Duration {
	now := t.clock.Elapsed()
	for {
		t.mu.Lock()
		if len(t.heap) == 0 {
			t.mu.Unlock()
			return -1
		}
		e := t.heap[0]
		if due := e.due; due > now {
			t.mu.Unlock()
			return due
		}
		heap.Pop(&t.heap)
		t.mu.Unlock()
		if e.call != nil {
			e.call()
		} else {
			e.unit.signal(false)
		}
	}
}

// run is the timer goroutine.
func (t *timers) run(ctx context.Context, jumped func()) {
	for {
		wake := t.clock.Wake(t.fire())
		select {
		case <-ctx.Done():
			t.clock.Wake(-1)
			return
		case <-t.clock.Jumps():
			jumped()
		case <-wake:
		case <-t.changed:
		}
	}
}

// timerHeap implements heap.Interface.
type timerHeap []*timerEntry

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	e := x.(*timerEntry)
	*h = append(*h, e)
	e.index = len(*h)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.index = 0
	return e
}
