package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Real is the system's clock.
type Real struct {
	start  time.Time
	asleep atomic.Int64 // nanoseconds of suspension, which Go's monotonic time does not count
	wake   chan struct{}
	jumps  <-chan struct{}
	closer func() error

	mu    sync.Mutex
	timer *time.Timer
	due   time.Duration // -1 for none
}

// NewReal returns the system's clock. Where the system cannot tell that the wall clock was set, Jumps never sends.
// It is an error when the system should be able to and is not.
func NewReal() (*Real, error) {
	r := newReal()
	booted := bootTime()
	var err error
	r.jumps, r.closer, err = watchJumps(func() {
		slept := int64(bootTime() - booted - time.Since(r.start))
		r.asleep.Store(max(r.asleep.Load(), slept)) // the two clocks are not read at once, so that it may seem less
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func newReal() *Real {
	r := &Real{start: time.Now(), wake: make(chan struct{}, 1), due: -1}
	r.timer = time.AfterFunc(time.Hour, r.fire)
	r.timer.Stop()
	return r
}

// Now is the wall clock, without a monotonic reading.
func (r *Real) Now() time.Time { return time.Now().Round(0) }

// Elapsed is the monotonic time since NewReal, and a nanosecond so that it is never zero.
func (r *Real) Elapsed() time.Duration {
	return time.Since(r.start) + time.Duration(r.asleep.Load()) + time.Nanosecond
}

// Jumps is sent to when the wall clock was set, and when the system woke up.
func (r *Real) Jumps() <-chan struct{} { return r.jumps }

// Wake implements Clock.
func (r *Real) Wake(due time.Duration) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.due = due
	select {
	case <-r.wake: // of an older call
	default:
	}
	if due < 0 {
		r.timer.Stop()
	} else {
		r.timer.Reset(max(0, due-r.Elapsed()))
	}
	return r.wake
}

// fire runs when the timer does. It may come late, after a newer Wake has set another time.
func (r *Real) fire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.due < 0 || r.Elapsed() < r.due {
		return
	}
	r.due = -1
	r.wake <- struct{}{} // never blocks: Wake has emptied it, and due is sent for once
}

// Close ends the goroutine behind Jumps and cancels Wake.
func (r *Real) Close() error {
	r.Wake(-1)
	return r.closer()
}
