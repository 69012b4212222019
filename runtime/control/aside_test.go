package control_test

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/control"
)

// TestA03AHostOnAReadOnlyDiskStartsAndIsFound has run before the disk became read-only, and was killed: it starts, goes on from its
// state, says that it stores nothing, and a client of its folder finds it.
func TestA03AHostOnAReadOnlyDiskStartsAndIsFound(t *testing.T) {
	mount := t.TempDir()
	if err := unix.Mount("none", mount, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("NOT TESTED: a host on a read-only disk; mounting needs root: %v", err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(mount, 0)) })
	dir := filepath.Join(mount, "state")
	start := func() (h *runtime.Host, stop func()) {
		real, err := clock.NewReal()
		check(t, err)
		h, err = runtime.New(runtime.Config{Identity: "n1", Catalogue: newCatalogue(), Clock: real, Log: quiet(), StateDir: dir})
		check(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		ran := make(chan error, 1)
		go func() { ran <- h.Run(ctx) }()
		d, list := machine.Load("machine.yaml", []byte(pump), newCatalogue())
		check(t, list.Err())
		check(t, h.Deploy(t.Context(), runtime.Deployment{Definition: d}))
		return h, func() { cancel(); _ = errors.Join(<-ran, real.Close()) }
	}
	h, stop := start()
	_, err := h.Fire(t.Context(), "pump", "go", nil, "test")
	check(t, err)
	left, aside, why, err := control.ListenFor(dir)
	check(t, err)
	if aside != "" || why != nil {
		t.Errorf("on a disk that can be written to it listens at %q: %v", aside, why)
	}
	left.SetUnlinkOnClose(false) // as a host that is killed leaves it
	check(t, left.Close())
	stop()
	check(t, unix.Mount("none", mount, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "size=8m"))

	h, stop = start()
	defer stop()
	l, aside, why, err := control.ListenFor(dir)
	check(t, err)
	if aside == "" || !errors.Is(why, syscall.EROFS) {
		t.Errorf("on a read-only disk it listens at %q: %v", aside, why)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- control.NewServer(h, prometheus.NewRegistry(), quiet()).Serve(ctx, l) }()
	defer func() { cancel(); check(t, <-served) }()
	client := control.NewClient(dir)
	defer client.Close()
	health, err := client.Health(t.Context())
	if err != nil || health.Durable || len(health.Degraded) == 0 {
		t.Errorf("the host is asked by its folder: %+v, %v", health, err)
	}
	if d, err := client.Machine(t.Context(), "pump"); err != nil || d.State != "busy" {
		t.Errorf("the machine is in %q, %v", d.State, err)
	}
}
