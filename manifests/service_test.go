package manifests_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// keeper is the example service-keeper in a directory of its own, its service stopped in the end.
type keeper struct {
	t          *testing.T
	dir, state string
}

// scratch is the machine's own folder in the host's state.
func (k *keeper) scratch() string { return filepath.Join(k.state, "scratch", "service-keeper") }

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := &keeper{t: t, dir: filepath.Join(t.TempDir(), "service-keeper"), state: t.TempDir()}
	if err := os.CopyFS(k.dir, os.DirFS("examples/service-keeper")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(k.dir, "run")); err != nil { // of somebody who tried an earlier example
		t.Fatal(err)
	}
	want := list(t, k.dir)
	t.Cleanup(func() {
		if got := list(t, k.dir); !slices.Equal(got, want) {
			t.Errorf("the service has written into its directory, which is signed on a node: %v, want %v", got, want)
		}
		if err := k.script("stop"); err != nil {
			t.Errorf("stopping the service: %v", err)
		}
	})
	return k
}

// list is the names in a folder.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if e.Name() != "service.conf" { // which a test removes
			names = append(names, e.Name())
		}
	}
	return names
}

func (k *keeper) script(name string) error {
	cmd := exec.Command(filepath.Join(k.dir, name))
	cmd.Env = append(os.Environ(), "WATCHER_DATA="+filepath.Join(k.scratch(), "by-hand-data.json"))
	return cmd.Run()
}

// pid is the process of the service, 0 where none was started.
func (k *keeper) pid() int {
	text, _ := os.ReadFile(filepath.Join(k.scratch(), "run", "pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func (k *keeper) kill() {
	k.t.Helper()
	if err := syscall.Kill(k.pid(), syscall.SIGKILL); err != nil {
		k.t.Fatalf("killing the service: %v", err)
	}
}

// alive tells a process that runs from one that has ended, also where nobody has asked for its end yet.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	command, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err != nil || len(command) > 0
}

func TestServiceKeeperScripts(t *testing.T) {
	k := newKeeper(t)
	for _, step := range []struct {
		script string
		well   bool
	}{{"check", false}, {"stop", true}, {"start", true}, {"check", true}, {"start", true}, {"check", true}, {"stop", true}, {"check", false}} {
		if err := k.script(step.script); (err == nil) != step.well {
			t.Fatalf("%s: %v, want success %t", step.script, err, step.well)
		}
	}
	if err := k.script("start"); err != nil {
		t.Fatal(err)
	}
	k.kill()
	waitUntil(t, "the check notices", func() bool { return k.script("check") != nil })
	if err := os.Remove(filepath.Join(k.dir, "service.conf")); err != nil {
		t.Fatal(err)
	}
	if k.script("start") == nil {
		t.Error("the service starts without its configuration")
	}
}

// TestServiceKeeperKeepsAService runs the example in a host, with its real processes: killed, reconfigured, in
// maintenance, and across a restart of the host.
func TestServiceKeeperKeepsAService(t *testing.T) {
	k := newKeeper(t)
	h := k.host(k.state)
	waitUntil(t, "the service runs", func() bool { return h.state() == "running" })
	first := k.pid()
	k.kill()
	waitUntil(t, "it is started again", func() bool { return h.state() == "running" && k.pid() != first && k.pid() != 0 })
	second := k.pid()
	if err := os.WriteFile(filepath.Join(k.dir, "service.conf"), []byte("greeting=good day\nevery=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "it runs with the new configuration", func() bool {
		return h.state() == "running" && k.pid() != second && k.pid() != 0
	})
	third := k.pid()
	h.stop()
	if !alive(third) {
		t.Error("the service ended with the host")
	}
	h = k.host(k.state)
	waitUntil(t, "the machine goes on", func() bool { return h.state() == "running" })
	if k.pid() != third {
		t.Error("a restart of the host restarted the service")
	}
	if _, err := h.Fire(t.Context(), "service-keeper", "maintain", nil, "test"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "it is stopped for maintenance", func() bool { return h.state() == "maintenance" })
	waitUntil(t, "the process is gone", func() bool { return !alive(third) })
}

// runningHost is a host that runs the example.
type runningHost struct {
	*runtime.Host
	stop func()
}

func (k *keeper) host(state string) *runningHost {
	k.t.Helper()
	c, err := clock.NewReal()
	if err != nil {
		k.t.Fatal(err)
	}
	h, err := runtime.New(runtime.Config{
		Identity: "node.example.net", Catalogue: all.New(all.Services{}), Clock: c, Log: slog.New(slog.DiscardHandler), StateDir: state,
	})
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			k.t.Errorf("the host: %v", err)
		}
		if err := c.Close(); err != nil {
			k.t.Errorf("the clock: %v", err)
		}
	}
	k.t.Cleanup(stop)
	o, err := runtime.OfferFolder(filepath.Join(k.dir, "machine.yaml"), nil)
	if err != nil {
		k.t.Fatal(err)
	}
	t := runtime.Load([]runtime.Offer{o}, nil, all.New(all.Services{}))
	if err := t.Err(); err != nil {
		k.t.Fatal(err)
	}
	if err := h.Deploy(k.t.Context(), t.Ready[0]); err != nil {
		k.t.Fatal(err)
	}
	return &runningHost{Host: h, stop: stop}
}

func (h *runningHost) state() string {
	for _, m := range h.Machines() {
		return m.State
	}
	return ""
}

// waitUntil polls a condition until it holds or half a minute has passed.
func waitUntil(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("timed out waiting until %s", what)
		case <-tick.C:
		}
	}
}
