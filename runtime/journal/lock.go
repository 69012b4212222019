package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// LockName is the file by which a log's directory can be told.
const LockName = "LOCK"

// acquire takes the directory's lock.
func acquire(dir string) (*os.File, error) {
	lock, err := statefile.Lock(filepath.Join(dir, LockName))
	if errors.Is(err, statefile.ErrLocked) {
		return nil, fmt.Errorf("%w: %s: %w; stop it or choose another directory", ErrLocked, dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the log: %w", err)
	}
	return lock, nil
}

// inUse says whether a host seems to have the log open. It only looks.
func inUse(dir string) bool { return statefile.InUse(filepath.Join(dir, LockName)) }
