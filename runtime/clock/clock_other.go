//go:build !linux

package clock

import "time"

// watchJumps has nothing to ask here: a wall clock that is set shows when the next timer is due.
func watchJumps(func()) (<-chan struct{}, func() error, error) {
	return nil, func() error { return nil }, nil
}

// bootTime is not to be had here; without jumps nobody asks for it twice.
func bootTime() time.Duration { return 0 }
