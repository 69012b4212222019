package runtime_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// start is when virtual time begins.
var start = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

// fakes is a catalogue of watchers whose behaviour the test gives as functions.
type fakes struct {
	types map[string]watchers.Type
}

type noProperties struct{}

// checkFunc makes a type whose looks call f.
func (c *fakes) check(name string, f func(ctx context.Context, l *watchers.Look) watchers.Report) {
	c.add(name, &watchers.Prepared{New: func() watchers.Watcher { return checker(f) }})
}

func (c *fakes) add(name string, p *watchers.Prepared, outcomes ...machine.Outcome) {
	t := watchers.Type{WatcherType: machine.WatcherType{Name: name, Outcomes: outcomes}}
	c.types[name] = watchers.Define(t, func(*noProperties, *machine.WatcherSpec) *watchers.Prepared { return p })
}

type checker func(ctx context.Context, l *watchers.Look) watchers.Report

func (c checker) Check(ctx context.Context, l *watchers.Look) watchers.Report { return c(ctx, l) }

type listener func(ctx context.Context, l *watchers.Look, emit func(watchers.Report)) watchers.Report

func (c listener) Listen(ctx context.Context, l *watchers.Look, emit func(watchers.Report)) watchers.Report {
	return c(ctx, l, emit)
}

func newFakes() *fakes {
	c := &fakes{types: map[string]watchers.Type{}}
	c.check("probe", func(context.Context, *watchers.Look) watchers.Report { return watchers.Success() })
	return c
}

func (c *fakes) Find(name string) (*machine.WatcherType, bool) {
	t, ok := c.types[name]
	return &t.WatcherType, ok
}

func (c *fakes) Names() []string { return slices.Sorted(maps.Keys(c.types)) }

func (c *fakes) Prepare(w *machine.WatcherSpec) (*watchers.Prepared, diag.List) {
	return c.types[w.Type].Prepare(w)
}

// load compiles a manifest, which must have no errors.
func load(t testing.TB, c runtime.Catalogue, src string) *machine.Definition {
	t.Helper()
	src = strings.ReplaceAll(strings.TrimLeft(src, "\n"), "\t", "  ")
	def, problems := machine.Load("machine.yaml", []byte(src), c)
	if def == nil {
		t.Fatalf("manifest refused:\n%v", problems)
	}
	return def
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// simulation is a runtime.Simulation with what happened in it.
type simulation struct {
	*runtime.Simulation
	t       testing.TB
	clock   *clock.Virtual
	looks   map[string][]*runtime.PendingLook // by watcher, not yet completed
	records []machine.Record
}

func simulate(t testing.TB, c runtime.Catalogue, manifests ...string) *simulation {
	t.Helper()
	return simulateWith(t, runtime.Config{Catalogue: c}, manifests...)
}

// simulateWith fills what a test does not care about. The test completes the looks, and gets the records.
func simulateWith(t testing.TB, cfg runtime.Config, manifests ...string) *simulation {
	t.Helper()
	s := &simulation{t: t, clock: clock.NewVirtual(start), looks: map[string][]*runtime.PendingLook{}}
	cfg.Identity, cfg.Log = "n1.example.net", quiet()
	cfg.Random = func(below time.Duration) time.Duration { return below / 2 }
	if cfg.Intercept == nil {
		cfg.Intercept = func(p *runtime.PendingLook) { s.looks[p.Watcher()] = append(s.looks[p.Watcher()], p) }
	}
	cfg.Observe = func(r *machine.Record, _ bool) { s.records = append(s.records, *r) }
	sim, err := runtime.NewSimulation(cfg, s.clock)
	if err != nil {
		t.Fatal(err)
	}
	s.Simulation = sim
	t.Cleanup(func() { _ = sim.Close() })
	for _, m := range manifests {
		if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, cfg.Catalogue, m)}); err != nil {
			t.Fatal(err)
		}
	}
	s.Settle()
	return s
}

// complete ends the oldest look of a watcher.
func (s *simulation) complete(watcher string, rep watchers.Report) {
	s.t.Helper()
	if len(s.looks[watcher]) == 0 {
		s.t.Fatalf("watcher %q is not looking", watcher)
	}
	p := s.looks[watcher][0]
	s.looks[watcher] = s.looks[watcher][1:]
	p.Complete(rep)
	s.Settle()
}

func (s *simulation) fire(name, event string) runtime.Fired {
	s.t.Helper()
	f, err := s.Fire(s.t.Context(), name, event, nil, "test")
	if err != nil {
		s.t.Fatal(err)
	}
	s.Settle()
	return f
}

func (s *simulation) state(name string) string {
	for _, m := range s.Machines() {
		if m.Name == name {
			return m.State
		}
	}
	return ""
}

func (s *simulation) wantState(name, want string) {
	s.t.Helper()
	if got := s.state(name); got != want {
		s.t.Fatalf("%s is in %q, want %q", name, got, want)
	}
}

// host is a running host, in real time where the configuration has no clock, stopped at the end of the test.
type host struct {
	*runtime.Host
	t         testing.TB
	catalogue runtime.Catalogue
	stop      func() error
}

func runHost(t testing.TB, cfg runtime.Config) *host {
	t.Helper()
	closeClock := func() error { return nil }
	if cfg.Clock == nil {
		real, err := clock.NewReal()
		if err != nil {
			t.Fatal(err)
		}
		cfg.Clock, closeClock = real, real.Close
	}
	if cfg.Identity == "" {
		cfg.Identity = "n1.example.net"
	}
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	h, err := runtime.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		err := <-ended
		return joined(err, closeClock())
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("stopping the host: %v", err)
		}
	})
	return &host{Host: h, t: t, catalogue: cfg.Catalogue, stop: stop}
}

func joined(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *host) deploy(manifests ...string) {
	h.t.Helper()
	for _, m := range manifests {
		def := load(h.t, h.catalogue, m)
		if err := h.Deploy(h.t.Context(), runtime.Deployment{Definition: def}); err != nil {
			h.t.Fatal(err)
		}
	}
}

// eventually polls a condition until it holds or 30 s have passed.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !comes(cond) {
		t.Fatalf("timed out waiting until %s", what)
	}
}

// comes waits for a condition for a while, also on a goroutine that is none of the test's.
func comes(cond func() bool) bool {
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}
