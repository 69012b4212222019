package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// CopiesFolder is where a host has its Copies, below its own folder.
const CopiesFolder = "signed"

// Copies has the files of signed folders as they were when they were verified: Dir/NAME-ID for each. A machine runs from its copy, as who may
// write the signed folder may change a file between a look at it and its use, even without a trace in its times (by a mapping in memory). Any number of
// Copies and processes may use one folder.
type Copies struct{ Dir string }

// passable lets other users pass through a folder without seeing what it has: a machine may run as another user than its host.
const passable = 0o011

// Take copies a folder that VerifyFolder has verified, or finds the copy that is there. Each file is read once: what is held against the signature are the
// bytes that are written. id tells the files and which of them can be executed. The error is a *Tampered where the folder has changed meanwhile.
func (c Copies) Take(folder string, s *SignedFolder) (dir, id string, err error) {
	if !slotName.MatchString(s.Name) {
		return "", "", fmt.Errorf("copying the signed folder of %q: %w", s.Name, errSlotName)
	}
	files, err := signedFiles(folder, s)
	if err != nil {
		return "", "", fmt.Errorf("copying the signed folder %s: %w", folder, err)
	}
	id = filesID(s, files)
	if c.Dir, err = filepath.Abs(c.Dir); err == nil {
		err = c.prepare()
	}
	dir = filepath.Join(c.Dir, s.Name+"-"+id)
	if err == nil {
		err = lockedFolder(c.Dir, func() error { return c.place(dir, s, files) })
	}
	if err != nil {
		return "", "", fmt.Errorf("copying the signed folder %s: %w", folder, err)
	}
	return dir, id, nil
}

// signedFiles reads the files of a folder, its checksum file included, and holds what it has read against what was signed.
func signedFiles(folder string, s *SignedFolder) ([]packed, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files, err := collect(root, DefaultLimits())
	if err != nil {
		return nil, err
	}
	found, there := &Tampered{}, map[string]bool{}
	for _, f := range files {
		there[f.path] = true
		switch want, ok := s.Files[f.path]; {
		case !ok:
			found.Extra = append(found.Extra, f.path)
		case want != digestOf(f.content):
			found.Changed = append(found.Changed, f.path)
		}
	}
	for name := range s.Files {
		if !there[name] {
			found.Missing = append(found.Missing, name)
		}
	}
	sums, err := readPacked(root, SumsFile, maxSums)
	if err != nil {
		return nil, err
	}
	if digestOf(sums.content) != s.Sums {
		found.Changed = append(found.Changed, SumsFile)
	}
	if !found.none() {
		slices.Sort(found.Missing)
		return nil, found
	}
	return append(files, packed{path: SumsFile, content: sums.content}), nil
}

// filesID is a digest of files: of their checksum file, and of the names of those that can be executed, which it does not tell.
func filesID(s *SignedFolder, files []packed) string {
	var all bytes.Buffer
	all.WriteString(s.Sums)
	for _, f := range files {
		if f.executable {
			fmt.Fprintf(&all, "\n%s", f.path)
		}
	}
	return digestOf(all.Bytes())
}

// prepare makes the folder, in which nobody else can write. Where the host is root, which alone can run machines as other users, they can pass through it
// and the host's folder.
func (c Copies) prepare() error {
	if err := identity.MakeStateFolder(c.Dir); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	for _, dir := range []string{c.Dir, filepath.Dir(c.Dir)} {
		info, err := os.Stat(dir)
		if err == nil && info.Mode()&passable != passable {
			err = os.Chmod(dir, info.Mode().Perm()|passable)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// place writes a copy, unless it is there and right. One that is damaged is replaced.
func (c Copies) place(dir string, s *SignedFolder, files []packed) error {
	if isFolder(dir) && Verify(dir, SumsFile, s.Sums) == nil {
		now := time.Now()
		return os.Chtimes(dir, now, now) // Tidy knows by it which is the last
	}
	made := filepath.Join(c.Dir, leftover+"new")
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	err := writeFiles(made, files)
	if err == nil {
		err = putInPlace(made, dir)
	}
	return errors.Join(err, os.RemoveAll(made))
}

// putInPlace gives what was made its name. A damaged copy has the other name then, or is removed where the file system cannot exchange the two.
func putInPlace(made, dir string) error {
	err := os.Rename(made, dir)
	switch {
	case err == nil || !isFolder(dir):
		return err
	case exchange(made, dir) == nil:
		return nil
	}
	return errors.Join(os.RemoveAll(dir), os.Rename(made, dir))
}

// writeFiles sets all modes by itself: the process's umask is no part of them.
func writeFiles(into string, files []packed) error {
	for _, f := range files {
		name, mode := filepath.Join(into, filepath.FromSlash(f.path)), fs.FileMode(0o644)
		if f.executable {
			mode = 0o755
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		file, err := statefile.Open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = file.Write(f.content)
		if err := errors.Join(err, file.Chmod(mode), file.Close()); err != nil {
			return err
		}
	}
	return filepath.WalkDir(into, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o755)
		}
		return err
	})
}

// Tidy removes what nothing uses: all copies of machines that use none, and of the others those that are neither used nor the last one before, which a
// look that began with it may still need. used is asked with absolute paths.
func (c Copies) Tidy(used func(dir string) bool) (err error) {
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	if !isFolder(c.Dir) {
		return nil
	}
	err = lockedFolder(c.Dir, func() error { return c.tidy(used) })
	if err != nil {
		return fmt.Errorf("removing old copies of signed folders: %w", err)
	}
	return nil
}

func (c Copies) tidy(used func(dir string) bool) error {
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	runs, idle, gone := map[string]bool{}, map[string][]fs.FileInfo{}, []string{}
	for _, e := range entries {
		name, _, ok := splitSlot(e.Name())
		info, err := e.Info()
		switch {
		case strings.HasPrefix(e.Name(), leftover):
			gone = append(gone, filepath.Join(c.Dir, e.Name()))
		case !ok || err != nil || !e.IsDir():
		case used(filepath.Join(c.Dir, e.Name())):
			runs[name] = true
		default:
			idle[name] = append(idle[name], info)
		}
	}
	for name, copies := range idle {
		slices.SortFunc(copies, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
		if runs[name] {
			copies = copies[1:]
		}
		for _, info := range copies { // none is found half removed under its name
			dir, away := filepath.Join(c.Dir, info.Name()), filepath.Join(c.Dir, leftover+"old-"+info.Name())
			if err := errors.Join(os.RemoveAll(away), os.Rename(dir, away)); err != nil {
				return err
			}
			gone = append(gone, away)
		}
	}
	for _, dir := range gone {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
