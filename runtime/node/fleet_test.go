package node_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// cell is a cell of one host that runs in the test's process.
type cell struct {
	t    testing.TB
	dir  string
	host *overlay.Host
	join string // the join token
	stop func() error
	log  *slog.Logger // of the host
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	var listeners []net.Listener // all open at once, so that no port comes twice
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	return ports
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newCell makes and runs a cell.
func newCell(t testing.TB, change func(o *overlay.InitOptions)) *cell {
	t.Helper()
	c := makeCell(t, change)
	c.run()
	return c
}

// makeCell makes a cell that does not run yet.
func makeCell(t testing.TB, change func(o *overlay.InitOptions)) *cell {
	t.Helper()
	dir, ports := filepath.Join(t.TempDir(), "cell"), freePorts(t, 3)
	o := overlay.InitOptions{Dir: dir, Cell: "test", Now: time.Now(), Hosts: []overlay.HostOptions{{
		Name: "overlay1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: ports[0], Enrollment: ports[1], Cluster: ports[2],
	}}}
	if change != nil {
		change(&o)
	}
	if _, err := overlay.Init(o); err != nil {
		t.Fatal(err)
	}
	join, err := os.ReadFile(filepath.Join(dir, "join.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	return &cell{t: t, dir: dir, join: strings.TrimSpace(string(join)), log: quiet()}
}

// run starts the cell's host, which stops at the end of the test.
func (c *cell) run() {
	c.t.Helper()
	folder, cfg, err := overlay.Open(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	real, err := clock.NewReal()
	if err != nil {
		c.t.Fatal(err)
	}
	c.host, err = overlay.NewHost(overlay.HostConfig{Vouch: runtime.Unsigned, Folder: folder, Config: cfg, Clock: real, Log: c.log})
	if err != nil {
		c.t.Fatal(err)
	}
	c.stop = running(c.t, c.host.Run, real.Close)
	eventually(c.t, "the host takes nodes", func() bool { return stateOf(c.host.Host(), "provisioner") == "active" })
}

// running runs f until the test ends or what it returns is called.
func running(t testing.TB, f func(context.Context) error, then func() error) func() error {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f(ctx) }()
	done := false
	stop := func() error {
		if done {
			return nil
		}
		done = true
		cancel()
		err := <-ended
		if closed := then(); err == nil {
			err = closed
		}
		return err
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return stop
}

// newAgent runs an agent without a node.
func newAgent(t testing.TB, change func(c *node.Config)) *node.Agent {
	t.Helper()
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	cfg := node.Config{Vouch: runtime.Unsigned, Identity: "agent", Dir: t.TempDir(), Clock: real, Log: quiet(), MaxLooks: 16384}
	if change != nil {
		change(&cfg)
	}
	a, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	running(t, a.Run, real.Close)
	return a
}

// eventually polls a condition until it holds or a minute has passed.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(4 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("timed out waiting until %s", what)
		case <-tick.C:
		}
	}
}

// TestNodesJoinAnOverlay takes nodes through the whole handshake over real connections.
func TestNodesJoinAnOverlay(t *testing.T) {
	c, a := newCell(t, nil), newAgent(t, nil)
	e, err := a.Emulate(t.Context(), "n", "test", c.join, 20, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == 20 })
}

// BenchmarkEnrollment takes b.N nodes through the handshake, all at once; both sides share this process.
func BenchmarkEnrollment(b *testing.B) {
	c, a := newCell(b, nil), newAgent(b, nil)
	b.ResetTimer()
	e, err := a.Emulate(b.Context(), "n", "test", c.join, b.N, 0)
	if err != nil {
		b.Fatal(err)
	}
	eventually(b, "all nodes are active", func() bool { return e.Standing().Active == b.N })
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Minutes(), "nodes/min")
}
