//go:build !linux

package keyvalue

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// elapsed is a clock that only goes forward. CLOCK_MONOTONIC goes on in a suspension on Darwin; the systems on which it stands
// still then are not ones that overlays run on.
func elapsed() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(fmt.Sprintf("clock_gettime(CLOCK_MONOTONIC): %v", err))
	}
	return time.Duration(ts.Nano())
}
