package sandbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// hunts bounds the search for escapees: one of them may fork while it is being looked for.
const hunts = 4

// attributes of a program that is the leader of a group, or of a session.
func attributes(session bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !session, Setsid: session}
}

// awaitExit returns when the process has ended, and leaves it unreaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// killMarked kills every process whose environment holds the mark, and those that these start meanwhile.
// Only processes whose environment the host may read are found.
func killMarked(mark string) {
	for range hunts {
		if !killMarkedOnce([]byte(mark)) {
			return
		}
	}
}

func killMarkedOnce(mark []byte) (found bool) {
	proc, err := os.Open("/proc")
	if err != nil {
		return false
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || !marked(pid, mark) {
			continue
		}
		found = killIfMarked(pid, mark) || found
	}
	return found
}

// killIfMarked looks a second time once it holds the process, so that a number that was given to
// somebody else meanwhile is not killed.
func killIfMarked(pid int, mark []byte) bool {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer process.Release()
	return marked(pid, mark) && process.Kill() == nil
}

func marked(pid int, mark []byte) bool {
	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && bytes.Contains(environment, mark)
}
