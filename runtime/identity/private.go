package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrUnsafe is the cause where others could read or replace what is written into a folder, or is read from there: it, or one above it, is somebody else's or can be
// written to by others, or what is there already is no file of one's own.
var ErrUnsafe = errors.New("others could replace what is written there")

// maxLinks bounds the symbolic links of a path, as Linux does.
const maxLinks = 40

// CheckFolder refuses a folder for keys and tokens in which others than this user and root could replace a file: each folder from the root
// of the file system to it belongs to one of the two, and none can be written to by others, or by a group that is not its
// owner's own (one of the same number and name), but for those with the sticky bit such as /tmp. The folder itself is no symbolic link; those above it count as where they lead, and must be of this user
// or root. What is not there yet is passed over. Errors are ErrUnsafe, which name the folder, and those of the file system.
func CheckFolder(dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return unsafePath(path, "is a symbolic link", "name the folder that it leads to, or remove the link")
	case !info.IsDir():
		return unsafePath(path, "is no folder", "choose another")
	}
	return checkWay(path)
}

// checkWay walks to a folder from the root of the file system.
func checkWay(path string) error {
	at, rest, links := "/", strings.Split(strings.Trim(filepath.Clean(path), "/"), "/"), 0
	for {
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := checkOwn(at, info); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			if links++; links > maxLinks {
				return fmt.Errorf("%s: %w", path, syscall.ELOOP)
			}
			to, err := os.Readlink(at)
			if err != nil {
				return err
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(filepath.Dir(at), to)
			}
			at, rest = "/", append(strings.Split(strings.Trim(filepath.Clean(to), "/"), "/"), rest...)
			continue
		}
		for len(rest) > 0 && rest[0] == "" {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return nil
		}
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// checkOwn holds a folder or a link to it against who may have it.
func checkOwn(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: this system does not say whose it is", path)
	}
	if own := uint32(os.Geteuid()); stat.Uid != own && stat.Uid != 0 {
		next := "choose a folder of your own, or do this as that user"
		if !info.IsDir() {
			next = "chown " + path + ", or do this as that user"
		}
		return unsafePath(path, "belongs to "+userName(stat.Uid), next)
	}
	mode, others := info.Mode(), fs.FileMode(0o022)
	if mode.IsDir() && mode.Perm()&0o020 != 0 && ownGroup(stat) {
		others = 0o002
	}
	if mode.IsDir() && mode.Perm()&others != 0 && mode&fs.ModeSticky == 0 {
		return unsafePath(path, fmt.Sprintf("can be written to by others (mode %04o)", mode.Perm()), "chmod go-w "+path+", or choose another")
	}
	return nil
}

// ownGroup reports whether a group is the owner's alone, as where each user has a group of the same number and name.
func ownGroup(stat *syscall.Stat_t) bool {
	id := strconv.FormatUint(uint64(stat.Uid), 10)
	u, err := user.LookupId(id)
	if err != nil || stat.Gid != stat.Uid {
		return false
	}
	g, err := user.LookupGroupId(id)
	return err == nil && g.Name == u.Username
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username + " (uid " + id + ")"
	}
	return "uid " + id
}

func unsafePath(path, what, next string) error {
	return fmt.Errorf("%s %s: %w; %s", path, what, ErrUnsafe, next)
}

// MakeFolder makes a folder for keys and tokens, of mode 0700, where there is none, with those above it. Errors are those of CheckFolder.
func MakeFolder(dir string) error {
	if err := CheckFolder(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// CheckStateFolder is CheckFolder for state: the folder may be a symbolic link of this user's or root's, as to another disk.
func CheckStateFolder(dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	return checkWay(path)
}

// MakeStateFolder is MakeFolder for state, as CheckStateFolder has it.
func MakeStateFolder(dir string) error {
	if err := CheckStateFolder(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// CheckFile refuses a path to write a key or a token to: its folder as CheckFolder does, and what is there where that is no regular file of
// this user or root, as a symbolic link, a pipe or somebody else's file.
func CheckFile(path string) error {
	if err := CheckFolder(filepath.Dir(path)); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return unsafePath(path, "is a symbolic link", "remove it, or name the file that it leads to")
	case !info.Mode().IsRegular():
		return unsafePath(path, "is no file ("+info.Mode().Type().String()+")", "remove it, or choose another name")
	}
	return checkOwn(path, info)
}

// CheckRead refuses a file with a key or a token, or a program that has one, that somebody else could have put there: it, and each folder and each symbolic link on
// the way to it, belongs to this user or root, and others cannot write to any as CheckFolder says. What is not there is passed over. Errors are
// ErrUnsafe, which name what it is, and those of the file system.
func CheckRead(path string) error {
	path, err := filepath.Abs(path)
	if err == nil {
		err = checkWay(path)
	}
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	others := fs.FileMode(0o022)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().Perm()&0o020 != 0 && ownGroup(stat) {
		others = 0o002
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&others != 0 {
		return unsafePath(path, fmt.Sprintf("can be written to by others (mode %04o)", info.Mode().Perm()), "chmod go-w "+path)
	}
	return nil
}

// WriteFile writes a key, a token or what belongs to one: whole or not at all, synced, mode 0600, in a folder that exists. A file that is
// there is replaced. Errors are those of CheckFile and of writing.
func WriteFile(path string, content []byte) error {
	if err := CheckFile(path); err != nil {
		return err
	}
	return disk{dir: filepath.Dir(path)}.write(filepath.Base(path), content)
}

// CreateFile is WriteFile of a file that is not there: fs.ErrExist where there is anything of that name, also where somebody else makes it at the same time.
func CreateFile(path string, content []byte) error {
	if err := CheckFile(path); err != nil {
		return err
	}
	return disk{dir: filepath.Dir(path)}.create(filepath.Base(path), content)
}
