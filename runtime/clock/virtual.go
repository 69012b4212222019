package clock

import (
	"sync"
	"time"
)

// Virtual is a clock that only moves when it is told to. It runs nothing by itself: who moves it also waits
// for what that causes. It is safe for concurrent use.
type Virtual struct {
	mu      sync.Mutex
	now     time.Time
	elapsed time.Duration
	due     time.Duration // -1 for none
	wake    chan struct{}
	jumps   chan struct{}
}

// NewVirtual returns a clock whose wall clock stands at start.
func NewVirtual(start time.Time) *Virtual {
	return &Virtual{now: start.Round(0), elapsed: time.Nanosecond, due: -1, wake: make(chan struct{}, 1), jumps: make(chan struct{}, 1)}
}

// Now is the wall clock, in the location of the time that it was set to.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Elapsed is the sum of all advances, and a nanosecond.
func (v *Virtual) Elapsed() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.elapsed
}

// Wake implements Clock.
func (v *Virtual) Wake(due time.Duration) <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	select {
	case <-v.wake: // of an older call
	default:
	}
	v.due = due
	v.fire()
	return v.wake
}

// fire sends for a due time that has been reached. v.mu is held.
func (v *Virtual) fire() {
	if v.due < 0 || v.elapsed < v.due {
		return
	}
	v.due = -1
	v.wake <- struct{}{} // never blocks: Wake has emptied it, and due is sent for once
}

// NextWake returns when Wake's channel is to be sent to next, in elapsed time; false when it is waiting for
// nothing or has been sent to already.
func (v *Virtual) NextWake() (due time.Duration, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.due, v.due >= 0
}

// Advance lets time pass. It panics for a negative duration: elapsed time does not go back.
func (v *Virtual) Advance(d time.Duration) {
	if d < 0 {
		panic("clock: negative advance")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
	v.elapsed += d
	v.fire()
}

// SetWall sets the wall clock; no time passes.
func (v *Virtual) SetWall(t time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = t.Round(0)
	v.jumped()
}

// Suspend lets time pass while nothing runs: Wake's channel is not sent to before the system wakes up.
func (v *Virtual) Suspend(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
	v.elapsed += d
	v.jumped()
	v.fire()
}

func (v *Virtual) jumped() {
	select {
	case v.jumps <- struct{}{}:
	default:
	}
}

// Jumps implements Clock.
func (v *Virtual) Jumps() <-chan struct{} { return v.jumps }

// Close does nothing.
func (v *Virtual) Close() error { return nil }
