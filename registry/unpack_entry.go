package registry

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// unpacker writes the entries of one archive.
type unpacker struct {
	root  *os.Root
	from  *tar.Reader
	left  int // entries
	names *paths
}

func (u *unpacker) all() error {
	for {
		h, err := u.from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if u.left--; u.left < 0 {
			return fmt.Errorf("the number of its entries: %w", ErrLimit)
		}
		if err := u.entry(h); err != nil {
			return fmt.Errorf("%.200q: %w", h.Name, err)
		}
	}
}

// records that ordinary archives have beside an entry, and that change nothing in what is unpacked; in front of all entries git has a comment.
const (
	entryRecords  = "path mtime atime ctime uid gid uname gname comment"
	globalRecords = "comment"
)

func (u *unpacker) entry(h *tar.Header) error {
	known := entryRecords
	if h.Typeflag == tar.TypeXGlobalHeader {
		known = globalRecords
	}
	for key := range h.PAXRecords {
		if !slices.Contains(strings.Fields(known), key) {
			return fmt.Errorf("%w: %.60q", errRecords, key)
		}
	}
	name := strings.TrimPrefix(h.Name, "./")
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		if name = strings.TrimSuffix(name, "/"); name == "" || name == "." {
			return nil
		}
		return u.folder(name, h.FileInfo().Mode())
	case tar.TypeReg:
		return u.file(name, h.FileInfo().Mode(), h.Size)
	default:
		return errKind
	}
}

func (u *unpacker) folder(name string, mode fs.FileMode) error {
	above, err := u.names.add(name, true)
	if err != nil {
		return err
	}
	for _, f := range above {
		if err := u.mkdir(f, 0o755); err != nil {
			return err
		}
	}
	return u.mkdir(name, mode&0o755|0o700)
}

// mkdir sets the mode by itself: the process's umask is no part of it.
func (u *unpacker) mkdir(name string, mode fs.FileMode) error {
	if err := u.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return u.root.Chmod(name, mode)
}

func (u *unpacker) file(name string, mode fs.FileMode, size int64) error {
	if mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return errSetuid
	}
	above, err := u.names.add(name, false)
	if err != nil {
		return err
	}
	for _, f := range above {
		if err := u.mkdir(f, 0o755); err != nil {
			return err
		}
	}
	out, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NONBLOCK, 0o600) // else the runtime asks whether it could wait
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(onlyWriter{out}, u.from, copyBuffer(size))
	return errors.Join(err, out.Chmod(mode&0o755|0o400), out.Close())
}

// onlyWriter hides that a file can read by itself, with a buffer of its own.
type onlyWriter struct{ io.Writer }
