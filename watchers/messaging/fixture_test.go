package messaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	patience = 30 * time.Second // for what is to happen
	node     = "n1.example"
)

func TestMain(m *testing.M) {
	if os.Getenv(brokerProcess) != "" {
		os.Exit(runBroker())
	}
	goleak.VerifyTestMain(m)
}

// broker is an embedded server that can be stopped and started again at its address.
type broker struct {
	t    testing.TB
	opts server.Options
	srv  *server.Server
}

func startBroker(t testing.TB, change ...func(*server.Options)) *broker {
	t.Helper()
	b := &broker{t: t, opts: server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, MaxPayload: 2 << 20}}
	for _, c := range change {
		c(&b.opts)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	opts := b.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		b.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		b.t.Fatal("the broker does not start")
	}
	b.srv, b.opts.Port = srv, opts.Port
}

func (b *broker) stop() {
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}

func (b *broker) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", b.opts.Port) }

func (b *broker) credentials() *Credentials { return &Credentials{URLs: []string{b.url()}} }

// client is a connection of the test's own.
func (b *broker) client() *nats.Conn {
	b.t.Helper()
	conn, err := nats.Connect(b.url(), nats.Timeout(patience))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(conn.Close)
	return conn
}

// always gives everybody the same credentials.
func always(c *Credentials) Source {
	return func(string, string) (*Credentials, error) { return c, nil }
}

// given is a source whose credentials a test changes.
type given struct {
	mu  sync.Mutex
	set *Credentials
	err error
}

func (g *given) source(string, string) (*Credentials, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set, g.err
}

func (g *given) change(c *Credentials, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set, g.err = c, err
}

func newPool(t testing.TB, s Source) *Pool {
	t.Helper()
	p := NewPool(s, slog.New(slog.DiscardHandler))
	p.backoff = func(int) time.Duration { return 20 * time.Millisecond }
	t.Cleanup(p.Close)
	return p
}

// kept is a pool that has an open connection of each name.
func kept(t testing.TB, b *broker, names ...string) *Pool {
	t.Helper()
	p := newPool(t, always(b.credentials()))
	for _, name := range names {
		keep(t, p, name)
	}
	return p
}

// keep opens a connection and waits for it. What it returns closes it.
func keep(t testing.TB, p *Pool, name string) context.CancelFunc {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	if err := p.Keep(ctx, node, name); err != nil {
		t.Fatal(err)
	}
	wait(t, p, name)
	return cancel
}

func wait(t testing.TB, p *Pool, name string) *nats.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := p.Wait(ctx, node, name)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// eventually polls until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !holds() {
		poll := time.NewTimer(2 * time.Millisecond)
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("it never happens that %s", what)
		}
	}
}

// typeOf finds a type.
func typeOf(t testing.TB, types []watchers.Type, name string) watchers.Type {
	t.Helper()
	i := slices.IndexFunc(types, func(typ watchers.Type) bool { return typ.Name == name || slices.Contains(typ.Aliases, name) })
	if i < 0 {
		t.Fatalf("there is no type %s", name)
	}
	return types[i]
}

// specOf makes the watcher of a manifest that does something with success and failure.
func specOf(t testing.TB, typ, properties string) *machine.WatcherSpec {
	t.Helper()
	n, problems := strict.Parse("machine.yaml", []byte(properties))
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return &machine.WatcherSpec{
		Name: "w", Type: typ, SuccessTransition: "good", FailTransition: "bad", Properties: n, Strict: true,
		Pos: diag.Position{File: "machine.yaml", Line: 1, Column: 1},
	}
}

func newWatcher(t testing.TB, p *Pool, s watchers.Spawner, typ, properties string) watchers.Watcher {
	t.Helper()
	prepared, problems := typeOf(t, Types(p, s), typ).Prepare(specOf(t, typ, properties))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return prepared.New()
}

func newLook() *watchers.Look {
	return &watchers.Look{
		Machine: "m", Version: "1.2.3", Watcher: "w", State: "s", Identity: node, At: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
		Data: map[string]any{"n": 7, "text": "hello"}, Facts: new(watchers.Facts), Strict: true, Log: slog.New(slog.DiscardHandler),
	}
}

// check takes one look of a new watcher.
func check(t testing.TB, p *Pool, s watchers.Spawner, typ, properties string) watchers.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return newWatcher(t, p, s, typ, properties).(watchers.Checker).Check(ctx, newLook())
}

// activation is a listener that listens.
type activation struct {
	t       testing.TB
	reports chan watchers.Report
	ended   chan watchers.Report
	cancel  context.CancelFunc
}

func listen(t testing.TB, p *Pool, s watchers.Spawner, typ, properties string) *activation {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := &activation{t: t, reports: make(chan watchers.Report, 1<<16), ended: make(chan watchers.Report, 1), cancel: cancel}
	w := newWatcher(t, p, s, typ, properties).(watchers.Listener)
	go func() { a.ended <- w.Listen(ctx, newLook(), func(r watchers.Report) { a.reports <- r }) }()
	t.Cleanup(cancel)
	return a
}

// listening waits until the broker has confirmed a listener's subscription.
func listening(t testing.TB, p *Pool, s watchers.Spawner, typ, properties string) *activation {
	t.Helper()
	a := listen(t, p, s, typ, properties)
	a.await(outcomeListening)
	return a
}

// await returns the next report, which is to be of an outcome.
func (a *activation) await(outcome string) watchers.Report {
	a.t.Helper()
	select {
	case r := <-a.reports:
		if r.Outcome != outcome {
			a.t.Fatalf("reports %q (%s), want %q", r.Outcome, r.Message, outcome)
		}
		return r
	case r := <-a.ended:
		a.t.Fatalf("ends with %q (%s), want a report of %q", r.Outcome, r.Message, outcome)
	case <-time.After(patience):
		a.t.Fatalf("reports nothing, want %q", outcome)
	}
	return watchers.Report{}
}

// quiet holds that nothing was reported.
func (a *activation) quiet() {
	a.t.Helper()
	select {
	case r := <-a.reports:
		a.t.Fatalf("reports %q: %s", r.Outcome, r.Message)
	default:
	}
}

// end returns what a listener ends with by itself.
func (a *activation) end() watchers.Report {
	a.t.Helper()
	select {
	case r := <-a.ended:
		return r
	case <-time.After(patience):
		a.t.Fatal("does not end")
	}
	return watchers.Report{}
}

// stop ends an activation and holds it to the contract: soon after its context.
func (a *activation) stop() {
	a.t.Helper()
	a.cancel()
	select {
	case <-a.ended:
	case <-time.After(time.Second):
		a.t.Fatal("does not end with its context")
	}
}

// spawner is a host that starts instances as it is told.
type spawner struct {
	mu      sync.Mutex
	orders  []watchers.SpawnOrder
	running map[string]bool
	err     error
}

// Spawn implements watchers.Spawner.
func (s *spawner) Spawn(_ context.Context, o watchers.SpawnOrder) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return false, s.err
	case s.running[o.Key]:
		return false, nil
	case o.Limit > 0 && len(s.running) >= o.Limit:
		return false, fmt.Errorf("starting %s: %w", o.Template, watchers.ErrTooMany)
	}
	if s.running == nil {
		s.running = map[string]bool{}
	}
	s.running[o.Key] = true
	s.orders = append(s.orders, o)
	return true, nil
}

func (s *spawner) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *spawner) last() watchers.SpawnOrder {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.orders) == 0 {
		return watchers.SpawnOrder{}
	}
	return s.orders[len(s.orders)-1]
}

var errHost = errors.New("the host stops")

// proxy stands between a pool and a broker and can stop saying anything.
type proxy struct {
	listener net.Listener
	accepted atomic.Int32
	silent   atomic.Bool
	mu       sync.Mutex
	conns    []net.Conn
	fronts   []net.Conn // those of clients
}

func newProxy(t testing.TB, b *broker) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &proxy{listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			x.keep(conn)
			x.accepted.Add(1)
			if !x.silent.Load() {
				x.join(&all, conn, b)
			}
		}
	})
	t.Cleanup(func() { l.Close(); x.cut(); all.Wait() })
	return x
}

func (x *proxy) url() string { return "nats://" + x.listener.Addr().String() }

func (x *proxy) join(all *sync.WaitGroup, conn net.Conn, b *broker) {
	behind, err := net.Dial("tcp", strings.TrimPrefix(b.url(), "nats://"))
	if err != nil {
		conn.Close()
		return
	}
	x.keep(behind)
	x.mu.Lock()
	x.fronts = append(x.fronts, conn)
	x.mu.Unlock()
	all.Go(func() { _, _ = io.Copy(conn, behind); conn.Close() })
	all.Go(func() { _, _ = io.Copy(behind, conn); behind.Close() })
}

func (x *proxy) keep(c net.Conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.conns = append(x.conns, c)
}

func (x *proxy) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.conns {
		c.Close()
	}
}

// silence cuts what is open; what is opened from now on hears nothing.
func (x *proxy) silence() {
	x.silent.Store(true)
	x.cut()
}
