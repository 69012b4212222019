package sandbox

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstOwn is the first descriptor behind the standard ones.
const firstOwn = 3

// closeOnExec keeps the descriptors of this process from what it starts, all but the standard three. Go opens none that would be passed on; whoever
// started the process may have left it some.
func closeOnExec() error {
	err := unix.CloseRange(firstOwn, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) { // before Linux 5.11, or behind an old filter of calls
		return closeEachOnExec()
	}
	return err
}

func closeEachOnExec() error {
	folder, err := os.Open("/proc/self/fd")
	if err != nil {
		return err
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd >= firstOwn {
			unix.CloseOnExec(fd) // one that is gone meanwhile is passed on to nobody
		}
	}
	return nil
}
