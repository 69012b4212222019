package node_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

// hostFolder is the variable that makes a process of the tests run the host of a cell's folder, so that it can be killed.
const hostFolder = "NODE_TEST_HOST"

func TestMain(m *testing.M) {
	sandbox.Main()
	if dir := os.Getenv(hostFolder); dir != "" {
		if err := runHost(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runHost(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	folder, cfg, err := overlay.Open(dir)
	if err != nil {
		return err
	}
	real, err := clock.NewReal()
	if err != nil {
		return err
	}
	h, err := overlay.NewHost(overlay.HostConfig{Vouch: runtime.Unsigned, Folder: folder, Config: cfg, Clock: real, Log: quiet()})
	if err != nil {
		return err
	}
	return h.Run(ctx)
}

// spawn runs the cell's host as a process of its own. What it returns kills it.
func (c *cell) spawn() (kill func()) {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), hostFolder+"="+c.dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	c.t.Cleanup(kill)
	return kill
}
