package control

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// asidePaths are where the host of a state folder listens that cannot be written to, such as on a disk that is read-only: in the first
// folder for what lives as long as the system runs that takes a socket.
func asidePaths(stateDir string) []string {
	abs, err := filepath.Abs(stateDir)
	if err != nil {
		return nil
	}
	name := fmt.Sprintf("statecraft-%x", sha256.Sum256([]byte(abs)))[:len("statecraft-")+16]
	var paths []string
	for _, dir := range []string{"/run", filepath.Join("/run/user", strconv.Itoa(os.Geteuid())), os.TempDir()} {
		paths = append(paths, SocketPath(filepath.Join(dir, name)))
	}
	return paths
}

// ListenFor makes the socket of a state folder's host as Listen does. Where the disk does not take one, it is made elsewhere, where a
// Client of the folder finds it: aside is that path, and why is the reason.
func ListenFor(stateDir string) (l *net.UnixListener, aside string, why, err error) {
	if l, why = Listen(SocketPath(stateDir)); why == nil {
		return l, "", nil, nil
	}
	if !unwritable(why) {
		return nil, "", nil, why
	}
	for _, path := range asidePaths(stateDir) {
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) || !trusted(path, stateDir) {
			continue
		}
		if l, err = Listen(path); err == nil {
			return l, path, why, nil
		}
	}
	return nil, "", nil, why
}

// unwritable reports whether an error is that of a disk that takes nothing at the moment.
func unwritable(err error) bool {
	for _, cause := range []error{syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// trusted reports whether the folder of a socket belongs to whom the state folder belongs to, or to root, and to nobody else: others may
// write beside it.
func trusted(path, stateDir string) bool {
	folder, err := os.Lstat(filepath.Dir(path))
	if err != nil || !folder.IsDir() || folder.Mode().Perm()&0o077 != 0 {
		return false
	}
	state, err := os.Stat(stateDir)
	if err != nil {
		return false
	}
	own, ok := folder.Sys().(*syscall.Stat_t)
	wanted, okay := state.Sys().(*syscall.Stat_t)
	return ok && okay && (own.Uid == wanted.Uid || own.Uid == 0)
}
