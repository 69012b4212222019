package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// lockFile is in a cell's folder. Who writes there has it locked, and its process id is in it, for messages only.
const lockFile = "LOCK"

// ErrBusy is the cause where somebody else is writing in a cell's folder.
var ErrBusy = errors.New("another process is writing in it")

// lockCell has nobody else write in a cell's folder, which is there, until unlock is called or the process ends. It does not wait: the error is ErrBusy.
func lockCell(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, lockFile)
	if err := identity.CheckFile(path); err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	f, err := statefile.Open(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
		pid, _ := statefile.Read(path)
		return nil, fmt.Errorf("%s: %w: process %s; run the command again when that has ended", dir, ErrBusy, strings.TrimSpace(string(pid)))
	}
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return func() { // the file stays: with it removed two could lock two files of one name
		_ = f.Truncate(0)
		_ = f.Close()
	}, nil
}
