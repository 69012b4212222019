//go:build linux

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is far above what anything here takes and far below the minute that lingering helpers stay.
const patience = 20 * time.Second

// helper is the command of one of TestMain's programs, and the file in which it notes its process number.
func helper(t *testing.T, name string, env ...string) (*Command, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	note := filepath.Join(dir, "pid")
	return &Command{
		Path: self, Args: []string{name}, Dir: dir, Limit: 1 << 20,
		Env: append([]string{"GORACE=atexit_sleep_ms=0", helperVariable + "=" + name, "PID_FILE=" + note}, env...),
	}, note
}

func script(t *testing.T, text string) *Command {
	t.Helper()
	return &Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", text}, Dir: t.TempDir(), Limit: 1 << 20,
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
	}
}

// runUntilNoted runs a command that does not end, and cancels or times out once it has noted its number.
func runUntilNoted(t *testing.T, c *Command, note string, cause error) (result Result, pid int, err error) {
	t.Helper()
	deadline := make(chan struct{})
	ctx := context.Context(&endable{Context: t.Context(), done: deadline, err: cause})
	go func() {
		defer close(deadline)
		pid = awaitNote(note)
	}()
	began := time.Now()
	result, err = c.Run(ctx)
	if took := time.Since(began); took > patience {
		t.Errorf("the run took %s", took)
	}
	<-deadline
	if pid == 0 {
		t.Fatal("the helper did not note its number")
	}
	return result, pid, err
}

// endable is a context that ends when the test says so, with the error that the test says.
type endable struct {
	context.Context
	done chan struct{}
	err  error
}

func (e *endable) Done() <-chan struct{} { return e.done }

func (e *endable) Err() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

func awaitNote(path string) (pid int) {
	poll(func() bool {
		text, err := os.ReadFile(path)
		if err == nil {
			pid, err = strconv.Atoi(string(text))
		}
		return err == nil
	})
	return pid
}

// poll waits for a condition, and says whether it came to hold.
func poll(condition func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if condition() {
			return true
		}
	}
	return false
}

// alive tells a process from one that is gone or waits to be reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func wantGone(t *testing.T, pid int) {
	t.Helper()
	if !poll(func() bool { return !alive(pid) }) {
		t.Errorf("process %d lives on", pid)
	}
}

func TestRunReportsTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		code   int
		stdout string
		stderr string
	}{
		"success":     {"echo out; echo err >&2", 0, "out\n", "err\n"},
		"exit code":   {"exit 7", 7, "", ""},
		"signal":      {"kill -TERM $$", 128 + 15, "", ""},
		"environment": {`echo "$PATH"`, 0, "/usr/sbin:/usr/bin:/sbin:/bin\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := script(t, test.script).Run(t.Context())
			if err != nil || got.ExitCode != test.code || string(got.Stdout) != test.stdout || string(got.Stderr) != test.stderr {
				t.Errorf("got %d %q %q %v", got.ExitCode, got.Stdout, got.Stderr, err)
			}
		})
	}
}

func TestRunSaysWhyItCannotStart(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, dir, want string }{
		"missing":        {filepath.Join(dir, "none"), dir, "no such file"},
		"not executable": {plain, dir, "it may not be executed, as its mode is 0600; chmod +x"},
		"no folder":      {"/bin/true", filepath.Join(dir, "none"), "which is no folder"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := (&Command{Path: test.path, Args: []string{"x"}, Dir: test.dir}).Run(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) || got.ExitCode != -1 {
				t.Errorf("got %d %v, want %q", got.ExitCode, err, test.want)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := script(t, "touch ran").Run(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func TestB15GrandchildHoldsTheOutput(t *testing.T) {
	c, note := helper(t, "grandchild")
	began := time.Now()
	got, err := c.Run(t.Context())
	if err != nil || got.ExitCode != 0 || string(got.Stdout) != "left one behind\n" {
		t.Errorf("got %d %q %v", got.ExitCode, got.Stdout, err)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("took %s", took)
	}
	pid := awaitNote(note)
	if !alive(pid) {
		t.Error("what a successful command left behind was killed")
	}
	if process, err := os.FindProcess(pid); err == nil {
		process.Kill()
	}
	wantGone(t, pid)
}

func TestB15TimeoutEndsEverything(t *testing.T) {
	for _, name := range []string{"linger", "stubborn", "escape", "between"} {
		t.Run(name, func(t *testing.T) {
			c, note := helper(t, name)
			_, pid, err := runUntilNoted(t, c, note, context.DeadlineExceeded)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v", err)
			}
			wantGone(t, pid)
		})
	}
}

func TestCancelEndsEverything(t *testing.T) {
	c, note := helper(t, "escape")
	_, pid, err := runUntilNoted(t, c, note, context.Canceled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	wantGone(t, pid)
}

func TestOutliveSurvivesCancelOnly(t *testing.T) {
	c, note := helper(t, "linger")
	c.Outlive, c.Discard = true, true
	_, pid, _ := runUntilNoted(t, c, note, context.Canceled)
	if !alive(pid) {
		t.Error("killed by a cancel")
	}
	if process, err := os.FindProcess(pid); err == nil {
		process.Kill()
	}
	wantGone(t, pid)
	c, note = helper(t, "linger")
	c.Outlive, c.Discard = true, true
	_, pid, _ = runUntilNoted(t, c, note, context.DeadlineExceeded)
	wantGone(t, pid)
}

func TestB15FloodIsDrained(t *testing.T) {
	const total = 512 << 20
	c, _ := helper(t, "flood", "FLOOD="+strconv.Itoa(total))
	c.Limit = 10_000
	got, err := c.Run(t.Context())
	if err != nil || got.ExitCode != 0 || !got.Truncated {
		t.Errorf("got %d %v, truncated %v", got.ExitCode, err, got.Truncated)
	}
	if len(got.Stdout) != c.Limit || cap(got.Stdout) != c.Limit || bytes.Trim(got.Stdout, "x") != nil {
		t.Errorf("kept %d of capacity %d", len(got.Stdout), cap(got.Stdout))
	}
	c, _ = helper(t, "flood", "FLOOD=1048576")
	c.Limit = 1 << 20
	if got, err := c.Run(t.Context()); err != nil || got.Truncated || len(got.Stdout) != 1<<20 {
		t.Errorf("exactly the limit: %d bytes, truncated %v, %v", len(got.Stdout), got.Truncated, err)
	}
}

func TestB15StdinIsEmpty(t *testing.T) {
	c, _ := helper(t, "stdin")
	if got, err := c.Run(t.Context()); err != nil || string(got.Stdout) != "0 <nil>" {
		t.Errorf("got %q %v", got.Stdout, err)
	}
}
