package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// fragileDisk fails from the moment it is told to.
type fragileDisk struct{ broken atomic.Bool }

var errDisk = errors.New("the disk is gone")

type fragileFile struct {
	*os.File
	disk *fragileDisk
}

func (f fragileFile) Datasync() error {
	if f.disk.broken.Load() {
		return errDisk
	}
	return f.Sync()
}

func (d *fragileDisk) open(name string, flag int, perm os.FileMode) (journal.File, error) {
	if d.broken.Load() {
		return nil, errDisk
	}
	f, err := os.OpenFile(name, flag, perm)
	return fragileFile{f, d}, err
}

// hostOn makes a host with a machine, its log on a disk of the test's.
func hostOn(t *testing.T, inv *invocation, disk *fragileDisk) *hosting {
	t.Helper()
	state := t.TempDir()
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	h := &hosting{display: &display{queue: make(chan shown, displayQueue), render: recordLine, out: inv.out, errors: inv.stderr}}
	h.host, err = runtime.New(runtime.Config{
		Identity: "n1", Catalogue: catalogue(), Clock: real, Log: inv.log, StateDir: state, Journal: journal.Options{OpenFile: disk.open},
	})
	if err != nil {
		t.Fatal(err)
	}
	if h.socket, err = control.Listen(control.SocketPath(state)); err != nil {
		t.Fatal(err)
	}
	h.server = control.NewServer(h.host, nil, inv.log)
	h.follower = runtime.NewFollower(h.host, []string{patientFolder(t)}, runtime.Unsigned, func(diag.List) {})
	h.closers = []func() error{real.Close}
	return h
}

// A host that could not store everything says so by its exit code, whatever told it to stop.
func TestStopThatFailsIsNoInterrupt(t *testing.T) {
	for s, clean := range map[syscall.Signal]int{syscall.SIGTERM: exitOK, syscall.SIGINT: exitInterrupted} {
		for _, broken := range []bool{false, true} {
			t.Run(s.String(), func(t *testing.T) {
				ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
				defer stop()
				var out, errs bytes.Buffer
				inv := &invocation{ctx: ctx, out: &results{w: &out}, stderr: &errs, log: slog.New(slog.DiscardHandler)}
				disk := &fragileDisk{}
				h := hostOn(t, inv, disk)
				ended := make(chan error, 1)
				go func() { ended <- errors.Join(h.run(inv), h.close()) }()
				breakAndSignal(t, h, disk, broken, s)
				code, want := inv.report(inv.ended(<-ended)), clean
				if broken {
					want = exitFailed
				}
				if code != want || broken != strings.Contains(errs.String(), "the host did not stop cleanly") {
					t.Errorf("exit code %d, want %d\n%s", code, want, errs.String())
				}
			})
		}
	}
}

// breakAndSignal waits for the machine, has it record something on a disk that may be broken, and sends the signal.
func breakAndSignal(t *testing.T, h *hosting, disk *fragileDisk, broken bool, s syscall.Signal) {
	t.Helper()
	tick, late := time.NewTicker(5*time.Millisecond), time.NewTimer(20*time.Second)
	defer tick.Stop()
	defer late.Stop()
	for ms := h.host.Machines(); len(ms) != 1 || ms[0].Seq == 0; ms = h.host.Machines() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatal("the machine did not start")
		}
	}
	disk.broken.Store(broken)
	if fired, err := h.host.Fire(t.Context(), "patient", "wait", nil, "test"); err != nil || fired.Durable == broken {
		t.Errorf("fired %+v, %v", fired, err)
	}
	if err := syscall.Kill(os.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}

func TestWhatAnInterruptExplains(t *testing.T) {
	interrupt, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		err    error
		before int // the exit code without an interrupt
		after  int
	}{
		"nothing":                 {nil, exitOK, exitOK},
		"an error":                {errDisk, exitFailed, exitInterrupted},
		"a failure":               {fail(exitInvalid, "", "%w", errDisk), exitInvalid, exitInvalid},
		"a failure of the verb's": {fail(exitPartial, "", "asking: %w", context.Canceled), exitPartial, exitInterrupted},
	} {
		live := &invocation{ctx: t.Context(), stderr: t.Output(), log: slog.New(slog.DiscardHandler)}
		dead := &invocation{ctx: interrupt, stderr: t.Output(), log: live.log}
		got := [2]int{live.report(live.ended(c.err)), dead.report(dead.ended(c.err))}
		if diff := cmp.Diff([2]int{c.before, c.after}, got); diff != "" {
			t.Errorf("%s: exit code before and after an interrupt, -want +got\n%s", name, diff)
		}
	}
}
