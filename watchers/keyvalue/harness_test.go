package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(candidateEnv); url != "" {
		candidateProcess(url)
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what is to come.
const patience = 20 * time.Second

// broker starts a server with JetStream.
func broker(t testing.TB, change ...func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, ServerName: "broker",
	}
	for _, f := range change {
		f(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}
	return s
}

// cluster starts three servers.
func cluster(t testing.TB, change ...func(*server.Options)) []*server.Server {
	t.Helper()
	var routes []string
	var all []*server.Server
	for i := range 3 {
		s := broker(t, append(change, func(o *server.Options) {
			o.ServerName = fmt.Sprintf("broker%d", i)
			o.Cluster = server.ClusterOpts{Name: "cell", Host: "127.0.0.1", Port: -1}
			o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		})...)
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", s.ClusterAddr().Port))
		all = append(all, s)
	}
	await(t, "a leader of the cluster", func() bool {
		ready := 0
		for _, s := range all {
			if s.JetStreamIsCurrent() && s.NumRoutes() > 0 && len(s.JetStreamClusterPeers()) == 3 {
				ready++
			}
		}
		return ready > 0 && (all[0].JetStreamIsLeader() || all[1].JetStreamIsLeader() || all[2].JetStreamIsLeader())
	})
	return all
}

// await polls a condition.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("no %s within %s", what, patience)
		}
	}
}

// line is the connections of one process: one connection under every name.
type line struct{ nc *nats.Conn }

func (l line) Conn(string, string) (*nats.Conn, error) {
	if l.nc.IsClosed() {
		return nil, errors.New("not connected")
	}
	return l.nc, nil
}

func (l line) Wait(ctx context.Context, _, _ string) (*nats.Conn, error) {
	if l.nc.IsClosed() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return l.nc, nil
}

func dial(t testing.TB, url string, opts ...nats.Option) line {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{nats.ReconnectWait(50 * time.Millisecond), nats.MaxReconnects(-1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return line{nc}
}

// gate is a dialer of connections that can be held still in either direction, as a process is that was stopped.
type gate struct {
	mu    sync.Mutex
	still [2]chan struct{} // writing and reading; nil is open
}

const (
	writing = 0
	reading = 1
)

func (g *gate) hold(direction int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.still[direction] == nil {
		g.still[direction] = make(chan struct{})
	}
}

func (g *gate) open(direction int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.still[direction] != nil {
		close(g.still[direction])
		g.still[direction] = nil
	}
}

func (g *gate) pass(direction int) {
	g.mu.Lock()
	still := g.still[direction]
	g.mu.Unlock()
	if still != nil {
		<-still
	}
}

func (g *gate) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	return &gatedConn{c, g}, err
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c *gatedConn) Write(p []byte) (int, error) {
	c.gate.pass(writing)
	return c.Conn.Write(p)
}

func (c *gatedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.gate.pass(reading)
	return n, err
}

// gated dials through a gate, which is opened at the end of the test.
func gated(t testing.TB, url string) (line, *gate) {
	t.Helper()
	g := &gate{}
	l := dial(t, url, nats.SetCustomDialer(g), nats.PingInterval(time.Hour), nats.FlusherTimeout(-1))
	t.Cleanup(func() {
		g.open(writing)
		g.open(reading)
	})
	return l, g
}

func keyValue(t testing.TB, l line, cfg jetstream.KeyValueConfig) jetstream.KeyValue {
	t.Helper()
	js, err := jetstream.New(l.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// find returns one of the package's types.
func find(t testing.TB, c Connections, name string) watchers.Type {
	t.Helper()
	for _, typ := range Types(c) {
		if typ.Name == name {
			return typ
		}
	}
	t.Fatalf("no type %s", name)
	return watchers.Type{}
}

// newWatcher prepares a watcher of YAML properties.
func newWatcher(t testing.TB, c Connections, name, properties string, change ...func(*machine.WatcherSpec)) watchers.Watcher {
	t.Helper()
	n, list := strict.Parse("test.yaml", []byte(properties))
	if list.HasErrors() {
		t.Fatal(list)
	}
	w := &machine.WatcherSpec{Name: "w", Type: name, Properties: n, Strict: true}
	for _, f := range change {
		f(w)
	}
	prepared, list := find(t, c, name).Prepare(w)
	if list.HasErrors() {
		t.Fatal(list)
	}
	return prepared.New()
}

func newLook(data map[string]any) *watchers.Look {
	return &watchers.Look{
		Machine: "m", Watcher: "w", State: "s", Identity: "host.example", Data: data, Log: slog.New(slog.DiscardHandler), Strict: true,
	}
}

// check looks once.
func check(t testing.TB, c Connections, typ, properties string, data map[string]any) watchers.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return newWatcher(t, c, typ, properties).(watchers.Checker).Check(ctx, newLook(data))
}

// told is a report and when it came.
type told struct {
	watchers.Report
	at time.Duration
}

// hearing is a listener that runs.
type hearing struct {
	t    testing.TB
	mu   sync.Mutex
	all  []told
	end  context.CancelFunc
	done chan watchers.Report
	over atomic.Bool
}

// listen runs a listener until the test ends, or stop is called.
func listen(t testing.TB, w watchers.Watcher, look *watchers.Look) *hearing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &hearing{t: t, end: cancel, done: make(chan watchers.Report, 1)}
	go func() {
		rep := w.(watchers.Listener).Listen(ctx, look, func(r watchers.Report) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.all = append(h.all, told{r, elapsed()})
		})
		h.over.Store(true)
		h.done <- rep
	}()
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *hearing) stop() {
	h.t.Helper()
	h.end()
	if h.over.Load() {
		return
	}
	select {
	case rep := <-h.done:
		h.done <- rep
	case <-time.After(patience):
		h.t.Error("the listener does not end")
	}
}

func (h *hearing) reports() []told {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]told(nil), h.all...)
}

// outcomes returns the names of what was reported so far.
func (h *hearing) outcomes() []string {
	var names []string
	for _, r := range h.reports() {
		names = append(names, r.Outcome)
	}
	return names
}

// next waits for the n-th report of an outcome, counted from 1.
func (h *hearing) next(outcome string, n int) told {
	h.t.Helper()
	var found told
	await(h.t, fmt.Sprintf("outcome %s (%d)", outcome, n), func() bool {
		left := n
		for _, r := range h.reports() {
			if r.Outcome == outcome {
				left--
				if left == 0 {
					found = r
					return true
				}
			}
		}
		return false
	})
	return found
}
