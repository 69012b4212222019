package runtime

import "sync"

// runQueue holds the units that have something to do, each at most once.
type runQueue struct {
	mu     sync.Mutex
	ready  sync.Cond
	units  []*unit
	head   int
	closed bool
}

func newRunQueue() *runQueue {
	q := &runQueue{}
	q.ready.L = &q.mu
	return q
}

func (q *runQueue) push(u *unit) {
	q.mu.Lock()
	if q.head > 0 && len(q.units) == cap(q.units) && q.head >= len(q.units)/2 {
		n := copy(q.units, q.units[q.head:])
		clear(q.units[n:])
		q.units, q.head = q.units[:n], 0
	}
	q.units = append(q.units, u)
	q.mu.Unlock()
	q.ready.Signal()
}

// pop waits for a unit; nil when the queue is closed.
func (q *runQueue) pop() *unit {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == len(q.units) && !q.closed {
		q.ready.Wait()
	}
	if q.closed {
		return nil
	}
	return q.take()
}

// tryPop is pop without waiting.
func (q *runQueue) tryPop() *unit {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.units) {
		return nil
	}
	return q.take()
}

func (q *runQueue) take() *unit {
	u := q.units[q.head]
	q.units[q.head] = nil
	q.head++
	if q.head == len(q.units) {
		q.units, q.head = q.units[:0], 0
	}
	return u
}

func (q *runQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Broadcast()
}
