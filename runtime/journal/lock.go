package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// LockName is the file by which a log's directory can be told.
const LockName = "LOCK"

// A process that is killed while it starts a program leaves a child behind that has the lock until it runs that program: where nobody
// lives who has written down that the log is theirs, the lock is free in a moment.
const (
	lastsAfterKill = 2 * time.Second
	lockPause      = 10 * time.Millisecond
)

// acquire takes the directory's lock, which ends with the process however it ends. The file holds the
// process id, for messages only.
func acquire(dir string) (*os.File, error) {
	path := filepath.Join(dir, LockName)
	file, err := statefile.Open(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) {
		file, err = statefile.Open(path, os.O_RDONLY, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the log: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for wait := time.Duration(0); errors.Is(err, unix.EWOULDBLOCK) && wait < lastsAfterKill && !inUse(dir); wait += lockPause {
		time.Sleep(lockPause) //nolint:forbidigo // Open has no context that could end it, and nothing else to do without the lock
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		defer file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s is held by process %d; stop it or choose another directory", ErrLocked, dir, holder(dir))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	// Not being able to write it down, on a full disk, is no reason not to start.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return file, nil
}

// release frees the lock. The file stays: removing it would let two processes lock two files of one name.
func release(lock *os.File) error {
	_ = lock.Truncate(0)
	return lock.Close()
}

// holder is the process that has or last had the lock, 0 where that is not known.
func holder(dir string) int {
	text, err := statefile.Read(filepath.Join(dir, LockName))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return 0
	}
	return pid
}

// inUse says whether a host seems to have the log open. It only looks.
func inUse(dir string) bool {
	pid := holder(dir)
	if pid <= 0 {
		return false
	}
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}
