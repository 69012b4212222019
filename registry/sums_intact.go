package registry

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Intact verifies a folder as Verify does, again and again: it reads only what has changed by size, mode, inode, mtime or ctime since it was
// last found to be right. That takes microseconds for a small machine, so that it can be asked before every use. Safe for concurrent use.
type Intact struct {
	dir, sumsFile, sumsDigest string

	mu    sync.Mutex
	known map[string]verified
	all   []placed // of known, when the folder was right; nil where that cannot be told without reading
}

// placed is a file or folder where it is.
type placed struct {
	path  string // absolute
	stamp stamp
}

// NewIntact knows nothing of the folder yet; the arguments are those of Verify.
func NewIntact(dir, sumsFile, sumsDigest string) *Intact {
	return &Intact{dir: dir, sumsFile: sumsFile, sumsDigest: sumsDigest}
}

// Moved says that the folder, with all that is known of it, has another name now.
func (i *Intact) Moved(dir string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if dir != i.dir {
		i.dir, i.all = dir, nil
	}
}

// Check returns nil where the folder is as it was signed, a *Tampered where it is not, and otherwise why it could not be found out.
func (i *Intact) Check(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.all != nil && i.unchanged() {
		return nil
	}
	found, err := inspect(ctx, i.dir, i.sumsFile, i.sumsDigest, i.known)
	i.known, i.all = found, nil
	if err == nil {
		i.place()
	}
	return err
}

// place notes where everything is, unless something is too new to be known by its stamp.
func (i *Intact) place() {
	all := make([]placed, 0, len(i.known))
	for name, v := range i.known {
		if !v.settled {
			return
		}
		all = append(all, placed{filepath.Join(i.dir, name), v.stamp})
	}
	i.all = all
}

// unchanged looks at everything that is known. Whatever is new has changed the folder that it is in.
func (i *Intact) unchanged() bool {
	for _, p := range i.all {
		info, err := os.Lstat(p.path)
		if err != nil || stampOf(info) != p.stamp {
			return false
		}
	}
	return true
}

// Paths are the absolute paths of what was found at the last Check, the folder itself first.
func (i *Intact) Paths() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := make([]string, 0, len(i.known))
	for name := range i.known {
		list = append(list, filepath.Join(i.dir, name))
	}
	slices.Sort(list)
	return list
}
