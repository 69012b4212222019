package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// newHostedCell makes a cell and runs its host, with all machines of an overlay. A client's services are there when it returns.
func newHostedCell(t *testing.T) *fleetCell {
	t.Helper()
	c := &fleetCell{t: t, dir: filepath.Join(t.TempDir(), "cell")}
	ports, err := freePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	_, err = overlay.Init(overlay.InitOptions{Dir: c.dir, Cell: "main", Now: time.Now(), Hosts: []overlay.HostOptions{{
		Name: "overlay1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: ports[0], Enrollment: ports[1], Cluster: ports[2],
	}}})
	if err != nil {
		t.Fatal(err)
	}
	folder, cfg, err := overlay.Open(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	now, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	c.host, err = overlay.NewHost(overlay.HostConfig{Vouch: runtime.Unsigned, Folder: folder, Config: cfg, Clock: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.host.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := now.Close(); err != nil {
			t.Error(err)
		}
	})
	c.enter()
	until(t, func() bool {
		return c.state("streams") == "steady" && c.state("inventory") == "answering" && c.state("register") == "answering"
	})
	if c.nodes, err = c.streams().KeyValue(t.Context(), "NODES"); err != nil {
		t.Fatal(err)
	}
	return c
}

// state is the state of a machine of the cell's host.
func (c *fleetCell) state(machine string) string {
	for _, m := range c.host.Host().Machines() {
		if m.Name == machine {
			return m.State
		}
	}
	return ""
}

// without stops a machine of the cell's host, so that a test answers in its place.
func (c *fleetCell) without(machine string) {
	c.t.Helper()
	fired, err := c.host.Host().Fire(c.t.Context(), machine, "stop", nil, "test")
	if err != nil || fired.Record.To != "stopped" {
		c.t.Fatalf("stopping %s: %+v %v", machine, fired, err)
	}
	until(c.t, func() bool { return c.state(machine) == "stopped" })
}
