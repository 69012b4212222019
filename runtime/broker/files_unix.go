//go:build unix

package broker

import (
	"math"
	"syscall"
)

// raiseFiles raises the limit of open files to what the system allows, and returns it.
func raiseFiles() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur < limit.Max {
		raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		// Where the system does not let it, as darwin does not let everybody have what it says, what there is counts.
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	return min(uint64(limit.Cur), math.MaxInt32), nil
}
