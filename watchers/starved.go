package watchers

import (
	"errors"
	"slices"
	"syscall"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

// Starved reports whether an error is want of the host itself: no file descriptor, process, memory or space is left. It tells nothing of what
// the look was for.
func Starved(err error) bool {
	var start *sandbox.StartError
	if errors.As(err, &start) && errors.Is(start, syscall.EAGAIN) { // elsewhere it means: not yet
		return true
	}
	return slices.ContainsFunc([]error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.ENOSPC, syscall.EDQUOT,
	}, func(want error) bool { return errors.Is(err, want) })
}

// Failed reports what has come in the way of a look: fail, or starved where the host had nothing left to make it with.
func Failed(err error) Report {
	if Starved(err) {
		return Report{Outcome: machine.OutcomeStarved, Message: err.Error()}
	}
	return Failure(err.Error())
}
