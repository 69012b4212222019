package clock

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestA04CancelledTimerIsAJump(t *testing.T) {
	jumps := make(chan struct{}, 1)
	told := 0
	readJumps(&cancelled{times: 3, err: unix.ECANCELED}, func() { told++ }, jumps)
	if told != 3 {
		t.Errorf("told of %d jumps, want 3", told)
	}
	if !sent(jumps) || sent(jumps) {
		t.Error("several jumps that nobody waited for are to be one")
	}
	readJumps(&cancelled{times: 3, err: unix.EBADF}, func() { told++ }, jumps)
	if sent(jumps) || told != 3 {
		t.Error("a broken timer is a jump")
	}
}

var errEnd = errors.New("end")

// cancelled is what the kernel answers for a timer whose clock was set, some times.
type cancelled struct {
	times int
	err   error
}

// Read implements io.Reader.
func (c *cancelled) Read([]byte) (int, error) {
	if c.times--; c.times < 0 {
		return 0, errEnd
	}
	return 0, &os.PathError{Op: "read", Path: "timerfd", Err: c.err}
}
