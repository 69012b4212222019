//go:build linux

package sandbox

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// helperVariable makes the test binary one of the programs below, so that the tests need no other.
const helperVariable = "SANDBOX_HELPER"

func TestMain(m *testing.M) {
	Main()
	if name := os.Getenv(helperVariable); name != "" {
		os.Exit(help(name))
	}
	goleak.VerifyTestMain(m)
}

func help(name string) int {
	switch name {
	case "grandchild": // leaves a child behind that holds the output
		start("linger", os.Stdout, nil)
		fmt.Println("left one behind")
	case "escape": // leaves a session of its own behind, then hangs
		start("linger", nil, &syscall.SysProcAttr{Setsid: true})
		linger()
	case "between": // hangs, and so does a child in another session that holds the output
		start("linger", os.Stdout, &syscall.SysProcAttr{Setsid: true})
		linger()
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		note()
		linger()
	case "linger":
		note()
		linger()
	case "flood":
		return flood()
	case "stdin":
		n, err := io.Copy(io.Discard, os.Stdin)
		fmt.Print(n, err)
	case "descriptors":
		return descriptors()
	case "fail":
		fmt.Fprintln(os.Stderr, "it broke")
		return 3
	default:
		return 99
	}
	return 0
}

// start runs another helper that is not waited for.
func start(name string, output *os.File, attr *syscall.SysProcAttr) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), helperVariable+"="+name)
	c.Stdout, c.SysProcAttr = output, attr
	if err := c.Start(); err != nil {
		panic(err)
	}
}

// note says in a file that this process is there.
func note() {
	path := os.Getenv("PID_FILE")
	if err := os.WriteFile(path+".new", []byte(strconv.Itoa(os.Getpid())), 0o600); err == nil {
		_ = os.Rename(path+".new", path)
	}
}

// linger stays much longer than any test may take.
func linger() { <-time.After(time.Minute) }

func flood() int {
	total, _ := strconv.Atoi(os.Getenv("FLOOD"))
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = 'x'
	}
	for written := 0; written < total; written += len(block) {
		if _, err := os.Stdout.Write(block); err != nil {
			return 1
		}
	}
	return 0
}

// descriptors prints the open ones that exec passed on: this helper's runtime opens its own above them.
func descriptors() int {
	for fd := range 64 {
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if err == nil && errno == 0 && flags&syscall.FD_CLOEXEC == 0 {
			fmt.Println(fd, target)
		}
	}
	return 0
}
