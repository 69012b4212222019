package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// folder holds small files by name. What is written is there whole, for good, or not at all.
type folder interface {
	read(name string) ([]byte, error) // fs.ErrNotExist
	write(name string, content []byte) error
	remove(name string) error // nil where there is none
	names() ([]string, error)
	provide(files map[string]string) error // see Store.Provide
}

// beside begins the names of files that are being written.
const beside = ".new-"

// disk is a folder of the file system.
type disk struct {
	dir  string
	step func(done string) // told after every operation; nil but in tests of crashes
	io   *statefile.Disk   // remembers what hangs; nil remembers nothing
}

func (d disk) done(operation string) {
	if d.step != nil {
		d.step(operation)
	}
}

func (d disk) read(name string) ([]byte, error) {
	content, err := d.io.Read(filepath.Join(d.dir, name))
	if errors.Is(err, statefile.ErrNotRegular) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return content, err
}

// write writes beside, syncs, renames, and syncs the folder. The file's mode is 0600.
func (d disk) write(name string, content []byte) error {
	return d.io.Do("write "+filepath.Join(d.dir, name), func() error { return d.replace(name, content) })
}

func (d disk) replace(name string, content []byte) error {
	made, err := d.beside(content)
	if err != nil {
		return err
	}
	if err := os.Rename(made, filepath.Join(d.dir, name)); err != nil {
		_ = os.Remove(made)
		return err
	}
	d.done("rename " + filepath.Base(made))
	return d.sync()
}

// create is write of a file that is not there, else fs.ErrExist: of several that do so at once, one has made it. A second name for what was written is given by
// the file system to one alone; where it has no second names, the file is written in its place.
func (d disk) create(name string, content []byte) error {
	made, err := d.beside(content)
	if err != nil {
		return err
	}
	path := filepath.Join(d.dir, name)
	err = os.Link(made, path)
	_ = os.Remove(made)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		var f *os.File
		if f, err = statefile.Open(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			err = d.fill(f, content)
		}
	}
	if err != nil {
		return err
	}
	return d.sync()
}

// beside writes and syncs a file that has no name yet, and returns its path.
func (d disk) beside(content []byte) (path string, err error) {
	f, err := os.CreateTemp(d.dir, beside)
	if err != nil {
		return "", err
	}
	d.done("create " + filepath.Base(f.Name()))
	if err := d.fill(f, content); err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

func (d disk) fill(f *os.File, content []byte) error {
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		return err
	}
	d.done("write " + filepath.Base(f.Name()))
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	d.done("sync " + filepath.Base(f.Name()))
	return f.Close()
}

func (d disk) sync() error {
	if err := statefile.SyncDir(d.dir); err != nil {
		return err
	}
	d.done("syncdir")
	return nil
}

func (d disk) remove(name string) error {
	err := os.Remove(filepath.Join(d.dir, name))
	d.done("remove " + name)
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

func (d disk) names() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// prepare makes the folder, of mode 0700, and removes what an earlier process did not finish.
func (d disk) prepare() error {
	if err := MakeFolder(d.dir); err != nil {
		return err
	}
	info, err := os.Stat(d.dir)
	if err == nil && info.Mode().Perm() != 0o700 {
		err = os.Chmod(d.dir, 0o700)
	}
	if err != nil {
		return err
	}
	names, err := d.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, beside) {
			_ = d.remove(name) // tried again at the next opening
		}
	}
	return nil
}

// memory is a folder that costs its content and little more: emulations hold thousands.
type memory struct{ files []memoryFile }

type memoryFile struct {
	name    string
	content []byte
}

func (m *memory) find(name string) int {
	return slices.IndexFunc(m.files, func(f memoryFile) bool { return f.name == name })
}

func (m *memory) read(name string) ([]byte, error) {
	i := m.find(name)
	if i < 0 {
		return nil, fs.ErrNotExist
	}
	return m.files[i].content, nil
}

func (m *memory) write(name string, content []byte) error {
	if i := m.find(name); i >= 0 {
		m.files[i].content = slices.Clone(content)
		return nil
	}
	m.files = append(m.files, memoryFile{name, slices.Clone(content)})
	return nil
}

func (m *memory) remove(name string) error {
	if i := m.find(name); i >= 0 {
		m.files = slices.Delete(m.files, i, i+1)
	}
	return nil
}

// provide does nothing: a node without a folder has no programs beside it.
func (m *memory) provide(map[string]string) error { return nil }

func (m *memory) names() ([]string, error) {
	var names []string
	for _, f := range m.files {
		names = append(names, f.name)
	}
	return names, nil
}
