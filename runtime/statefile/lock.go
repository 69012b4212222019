package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is the cause where somebody else has a lock.
var ErrLocked = errors.New("it is locked")

// A process that is killed while it starts a program leaves a child behind that has the lock until it runs that program: where nobody
// lives who has written down that the lock is theirs, it is free in a moment.
const (
	lastsAfterKill = 2 * time.Second
	lockPause      = 10 * time.Millisecond
)

// Lock takes the lock that a file is, which is made with mode 0600 where it is not there. It ends with the process however that ends, or by Unlock. The process id is
// written into the file, for messages only. Errors are ErrLocked, with the process that has it, and those of Open.
func Lock(path string) (*os.File, error) {
	file, err := Open(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) {
		file, err = Open(path, os.O_RDONLY, 0)
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for wait := time.Duration(0); errors.Is(err, unix.EWOULDBLOCK) && wait < lastsAfterKill && !InUse(path); wait += lockPause {
		time.Sleep(lockPause) //nolint:forbidigo // there is nothing else to do without the lock, and it is for two seconds
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		_ = file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by process %d", ErrLocked, holder(path))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Not being able to write it down, on a full disk, is no reason not to go on.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return file, nil
}

// Unlock frees a lock. The file stays: removing it would let two processes lock two files of one name.
func Unlock(lock *os.File) error {
	_ = lock.Truncate(0)
	return lock.Close()
}

// InUse reports whether a process that lives has written down that it has the lock. It only looks.
func InUse(path string) bool {
	pid := holder(path)
	if pid <= 0 {
		return false
	}
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

// holder is the process that has or last had the lock, 0 where that is not known.
func holder(path string) int {
	text, err := Read(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return 0
	}
	return pid
}
