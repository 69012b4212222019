// Package clock is where time comes from. The runtime reads no other clock.
package clock

import "time"

// Clock is a source of time. Elapsed time and the wall clock are separate: only the wall clock can be set.
type Clock interface {
	// Now is the wall clock, without a monotonic reading.
	Now() time.Time
	// Elapsed is the time since the clock was made, suspension included. It never goes back, however the wall
	// clock is set, and is never zero.
	Elapsed() time.Duration
	// Wake returns a channel that is sent to, once, when Elapsed has reached due. A newer call replaces
	// the older; due < 0 cancels. There is one caller: the runtime's timer goroutine.
	Wake(due time.Duration) <-chan struct{}
	// Jumps is sent to when the wall clock was set or the system was suspended. It may coalesce.
	Jumps() <-chan struct{}
	// Close ends the clock's goroutines.
	Close() error
}
