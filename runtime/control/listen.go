package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Listen makes the socket, for its owner only, in a folder that it makes where there is none. The socket of a host that has died is
// replaced. The caller holds the lock of the state folder, so that no two hosts do this at once. Closing the listener removes
// the socket.
func Listen(path string) (*net.UnixListener, error) {
	if len(path) > MaxPath {
		return nil, fmt.Errorf("control socket %s: %w: %d bytes, a socket's has at most %d; choose a state folder with a shorter path",
			path, ErrTooLong, len(path), MaxPath)
	}
	if err := checkFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

// checkFolder refuses a folder in which others could put a socket of their own.
func checkFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("state folder %s: %w: its mode is %04o; chmod 0700 %s, or choose another", dir, ErrUnsafe, info.Mode().Perm(), dir)
	}
	return nil
}

// removeStale removes the socket of a host that is gone.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("control socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("control socket %s: %w; move it away", path, ErrNoSocket)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return fmt.Errorf("control socket %s: %w; stop it or choose another state folder", path, ErrInUse)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}
