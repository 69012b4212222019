package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// finish gives the folder its last name, removes what is installed from it, and says what is to be revoked of all rotations that are kept.
func (r *rotation) finish() error {
	kept := r.m.path("authority", rotatedDir)
	if err := identity.MakeFolder(kept); err != nil {
		return err
	}
	base := strings.ReplaceAll(strings.TrimPrefix(r.label(), "host "), " ", "-") + "-" + r.o.Now.UTC().Format("20060102T150405Z")
	name := base
	for n := 2; ; n++ {
		if _, err := os.Lstat(filepath.Join(kept, name)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
	if err := os.Rename(r.at, filepath.Join(kept, name)); err != nil {
		return err
	}
	r.step("finished")
	folders, err := os.ReadDir(kept)
	if err != nil {
		return err
	}
	for _, f := range folders {
		folder := filepath.Join(kept, f.Name())
		if err := os.RemoveAll(filepath.Join(folder, newDir)); err != nil {
			return err
		}
		r.step("tidied")
		if err := r.done.toRevoke(folder, f.Name() == name); err != nil {
			return err
		}
	}
	return statefile.SyncDir(kept)
}

// toRevoke reads what a rotation has replaced, the present one or an earlier one.
func (d *Rotated) toRevoke(folder string, present bool) error {
	d.Kept = append(d.Kept, folder)
	keys, err := statefile.Read(filepath.Join(folder, keysFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a folder of a release before this has none
		return err
	}
	for line := range strings.Lines(string(keys)) {
		whose, key, _ := strings.Cut(strings.TrimSpace(line), " ")
		d.OldKeys = append(d.OldKeys, key)
		if present && whose == d.Host {
			d.OldKey = key
		}
	}
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && filepath.Ext(path) == ".jwt" {
			d.Revoke = append(d.Revoke, path)
		}
		return err
	})
}
