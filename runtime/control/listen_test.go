package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/statecraft-io/statecraft/runtime/control"
)

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, err := control.Listen(control.SocketPath(dir))
	check(t, err)
	for path, want := range map[string]os.FileMode{dir: 0o700, control.SocketPath(dir): 0o600} {
		info, err := os.Stat(path)
		check(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %04o, want %04o", path, got, want)
		}
	}
	check(t, l.Close())
	if _, err := os.Stat(control.SocketPath(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestSocketOfADeadHostIsReplaced(t *testing.T) {
	path := control.SocketPath(t.TempDir())
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	dead.SetUnlinkOnClose(false)
	check(t, dead.Close())

	client := control.NewClient(filepath.Dir(path))
	if _, err := client.Health(t.Context()); !errors.Is(err, control.ErrNoHost) {
		t.Errorf("asking a dead host: %v", err)
	}
	l, err := control.Listen(path)
	check(t, err)
	check(t, l.Close())
}

func TestListenRefuses(t *testing.T) {
	live := control.SocketPath(t.TempDir())
	l, err := control.Listen(live)
	check(t, err)
	defer l.Close()

	file := control.SocketPath(t.TempDir())
	check(t, os.WriteFile(file, []byte("precious"), 0o600))

	open := t.TempDir()
	check(t, os.Chmod(open, 0o777))

	for path, want := range map[string]error{
		live: control.ErrInUse, file: control.ErrNoSocket, control.SocketPath(open): control.ErrUnsafe,
		"/" + strings.Repeat("a", control.MaxPath): control.ErrTooLong,
	} {
		if _, err := control.Listen(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file in the way holds %q, %v", text, err)
	}
}

func TestLongestPathWorks(t *testing.T) {
	root, err := os.MkdirTemp("", "") // t.TempDir is too long by itself for some test names
	check(t, err)
	defer os.RemoveAll(root)
	path := filepath.Join(root, strings.Repeat("a", control.MaxPath-len(root)-1))
	l, err := control.Listen(path)
	check(t, err)
	check(t, l.Close())
	if l, err := control.Listen(path + "a"); err == nil {
		_ = l.Close()
		t.Errorf("a path of %d bytes is accepted", len(path)+1)
	}
}

func TestClientOfALongPath(t *testing.T) {
	client := control.NewClient("/" + strings.Repeat("a", control.MaxPath))
	if _, err := client.Health(t.Context()); !errors.Is(err, control.ErrTooLong) {
		t.Errorf("error: %v", err)
	}
}

func TestNoSocket(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none"), file} {
		if _, err := control.NewClient(dir).Health(t.Context()); !errors.Is(err, control.ErrNoHost) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestCancelledClient(t *testing.T) {
	s := serve(t, pump)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.client.Health(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

// Another user is refused even where the modes of the socket and its folder let everybody in.
func TestOtherUsersAreRefusedByTheirCredentials(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: that another user is refused; becoming another user needs root")
	}
	s := serve(t, pump)
	check(t, os.Chmod(control.SocketPath(s.dir), 0o777))
	answer, err := askAs(65534, control.SocketPath(s.dir))
	check(t, err)
	if _, refusal := parse(t, "GET", answer); !strings.Contains(refusal.Message, "may not speak to this host") {
		t.Errorf("the answer is %s", answer)
	}
}

func TestConnectionsWithoutCredentialsAreRefused(t *testing.T) {
	s := serve(t, pump)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- control.NewServer(s.host, nil, quiet()).Serve(ctx, l) }()
	resp, err := http.Get("http://" + l.Addr().String() + "/v1/health")
	check(t, err)
	check(t, resp.Body.Close())
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	check(t, <-served)
}

// askAs asks for the host's health on a thread that has become another user; the thread ends with the goroutine.
func askAs(uid int, path string) ([]byte, error) {
	type result struct {
		answer []byte
		err    error
	}
	results := make(chan result)
	go func() {
		runtime.LockOSThread()
		answer, err := ask(uid, path)
		results <- result{answer, err}
	}()
	r := <-results
	return r.answer, r.err
}

func ask(uid int, path string) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	folder, err := unix.Open(filepath.Dir(path), unix.O_PATH, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(folder)
	here := fmt.Sprintf("/proc/self/fd/%d/%s", folder, filepath.Base(path)) // the folders above may be closed
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
		return nil, errno
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: here}); err != nil {
		return nil, fmt.Errorf("connecting as user %d: %w", uid, err)
	}
	if _, err := unix.Write(fd, []byte("GET /v1/health HTTP/1.0\r\n\r\n")); err != nil {
		return nil, err
	}
	answer := make([]byte, 4096)
	n, err := unix.Read(fd, answer)
	return answer[:max(n, 0)], err
}
