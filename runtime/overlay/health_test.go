package overlay

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
)

// runningHost runs the host of a cell of one until the test ends, with its streams in the folder given, or below its own.
func runningHost(t *testing.T, streams string) *Host {
	t.Helper()
	dir := t.TempDir()
	if _, err := Init(InitOptions{Dir: dir, Cell: "c1", Now: time.Now(), Hosts: []HostOptions{{Name: "o1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222}}}); err != nil {
		t.Fatal(err)
	}
	folder, cfg, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.Fleet = "127.0.0.1:0"
	if streams != "" {
		if err := os.Symlink(streams, filepath.Join(folder, dataDir)); err != nil {
			t.Fatal(err)
		}
	}
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHost(HostConfig{Vouch: runtime.Unsigned, Folder: folder, Config: cfg, Clock: real, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the host: %v", err)
		}
		_ = real.Close()
	})
	return h
}

// inState waits until a machine of the host is in a state.
func inState(t *testing.T, h *Host, machine, state string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		d, err := h.Host().Machine(t.Context(), machine)
		if err == nil && d.State == state {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("machine %s is in state %q, not %q: %v, %v", machine, d.State, state, d.Data, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// storing waits until something can be stored, and stores it.
func storing(t *testing.T, h *Host, subject string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := store(t.Context(), h, subject)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing can be stored: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func store(ctx context.Context, h *Host, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	nc, err := h.pool.Wait(ctx, h.cfg.Config.Host, fleetConnection)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	_, err = js.Publish(ctx, subject, make([]byte, 64<<10))
	return err
}

// TestH66JetStreamThatWasSwitchedOffIsStartedAnew: nats-server switches it off when the disk is full, and never on again.
func TestH66JetStreamThatWasSwitchedOffIsStartedAnew(t *testing.T) {
	h := runningHost(t, "")
	inState(t, h, "streams", "steady")
	inState(t, h, "health", "well")
	storing(t, h, "jobs.a")
	before := h.broker.current.Load()
	if err := before.Provider().(*server.Server).ShutdownJetStream(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute)
	for h.broker.current.Load() == before {
		if time.Now().After(deadline) {
			t.Fatal("it stays off")
		}
		time.Sleep(20 * time.Millisecond)
	}
	inState(t, h, "health", "well")
	storing(t, h, "jobs.b")
	d, err := h.Host().Machine(t.Context(), "health")
	if n, _ := d.Data["restarts"].([]any); err != nil || len(n) != 1 {
		t.Errorf("the machine notes %v, %v", d.Data["restarts"], err)
	}
}

// TestH66ADiskThatWasFull fills the file system of the streams until JetStream is off, and frees it.
func TestH66ADiskThatWasFull(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("none", disk, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("NOT TESTED: a host whose disk is really full; mounting needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	streams := filepath.Join(disk, "streams")
	if err := os.Mkdir(streams, 0o700); err != nil {
		t.Fatal(err)
	}
	h := runningHost(t, streams)
	inState(t, h, "streams", "steady")
	inState(t, h, "health", "well")
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	deadline := time.Now().Add(time.Minute)
	for {
		err := store(t.Context(), h, "jobs.full")
		if s := h.Health(); !s.Enabled || len(s.Broken) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("JetStream goes on although nothing can be stored: %v", err)
		}
	}
	inState(t, h, "health", "degraded")
	reasons := h.Host().Health().Degraded
	if !slices.ContainsFunc(reasons, func(s string) bool { return strings.Contains(s, "of the disk are free") }) {
		t.Errorf("the host says %q", reasons)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	inState(t, h, "health", "well")
	storing(t, h, "jobs.free")
}
