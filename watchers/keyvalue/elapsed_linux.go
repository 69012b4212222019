package keyvalue

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// elapsed is a clock that only goes forward, whatever happens to this process or to the wall clock. Leases need it: a holder that
// was stopped, or whose host was suspended, must find on waking that its time is up, and Go's own monotonic clock does not count a
// suspension. Only differences mean something.
func elapsed() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("clock_gettime(CLOCK_BOOTTIME): %v", err)) // a kernel older than 2.6.39
	}
	return time.Duration(ts.Nano())
}
