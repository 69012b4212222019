package registry

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// packed is one file of a bundle that is made.
type packed struct {
	path       string // below the machine's folder
	content    []byte
	executable bool
}

var (
	errNotPlain = errors.New("only files and folders can be in a bundle; replace a link by what it points to")
	errMoved    = errors.New("the file was replaced at this moment; try again")
)

// collect reads the files of a folder, by path.
func collect(root *os.Root, l Limits) ([]packed, error) {
	var files []packed
	names, left := &paths{}, l.Unpacked
	if _, err := names.add(SumsFile, false); err != nil {
		return nil, err
	}
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == "." || name == SumsFile:
			return nil
		case hidden(name) && d.IsDir():
			return fs.SkipDir
		case hidden(name) || d.IsDir():
			return nil
		case len(files) >= l.Entries:
			return fmt.Errorf("%d files: %w", len(files)+1, ErrLimit)
		}
		if _, err := names.add(name, false); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		f, err := readPacked(root, name, left)
		if err != nil {
			return err
		}
		left -= int64(len(f.content))
		files = append(files, f)
		return nil
	})
	return files, err
}

func readPacked(root *os.Root, name string, most int64) (packed, error) {
	file, info, err := openRegular(root, name)
	if err != nil {
		return packed{}, err
	}
	defer file.Close()
	content, err := io.ReadAll(&bounded{from: file, left: most, what: "its files"})
	if err != nil {
		return packed{}, fmt.Errorf("reading %s: %w", name, err)
	}
	return packed{path: name, content: content, executable: info.Mode()&0o100 != 0}, nil
}

// openRegular opens a file that is no link, whatever somebody puts in its place meanwhile, and never waits for the other end of a pipe.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: %w", name, errNotPlain)
	}
	return openSame(root, name, before)
}

// openSame opens a file that was seen before, and is no link.
func openSame(root *os.Root, name string, before fs.FileInfo) (*os.File, fs.FileInfo, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !os.SameFile(before, info) {
		err = fmt.Errorf("%s: %w", name, errMoved)
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, nil, err
	}
	return file, info, nil
}
