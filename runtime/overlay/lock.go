package overlay

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// lockFile is in a cell's folder. Who writes there has it locked.
const lockFile = "LOCK"

// ErrBusy is the cause where somebody else is writing in a cell's folder.
var ErrBusy = errors.New("another process is writing in it")

// lockCell has nobody else write in a cell's folder, which is there, until unlock is called or the process ends. It waits for nobody: the error is ErrBusy.
func lockCell(dir string) (unlock func(), err error) {
	path := filepath.Join(dir, lockFile)
	if err := identity.CheckFile(path); err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	lock, err := statefile.Lock(path)
	if errors.Is(err, statefile.ErrLocked) {
		return nil, fmt.Errorf("%s: %w: %w; run the command again when that has ended", dir, ErrBusy, err)
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return func() { _ = statefile.Unlock(lock) }, nil
}
