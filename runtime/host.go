package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/journal"
	"github.com/statecraft-io/statecraft/runtime/vault"
	"github.com/statecraft-io/statecraft/watchers"
)

// Causes that callers branch on.
var (
	ErrUnknownMachine = errors.New("no such machine")
	ErrBusy           = errors.New("the machine's queue is full")
	ErrStopped        = errors.New("the host has stopped")
	// ErrWaiting is returned by simulations only, where no time passes while one waits.
	ErrWaiting = errors.New("the machine does not take events at the moment; the event waits")
)

// store is what a host needs of its journal.
type store interface {
	Append(key string, data []byte, done func(error))
	History(ctx context.Context, key string, f func(journal.Entry) error) error
	Status() journal.Status
	Head(ctx context.Context, f func(journal.Entry) error) (journal.Head, error)
	Close() error
}

// Host runs machines. New opens its state, Run does its work and ends everything it started.
type Host struct {
	cfg         Config
	log         *slog.Logger
	store       store        // nil keeps everything in memory
	vault       *vault.Vault // nil where there is no store
	book        *book
	runq        *runQueue
	timers      *timers
	looks       *lookPool
	governors   *governors
	publisher   *publisher
	notifier    *notifier // nil until Run, and in simulations
	metrics     *metrics
	scratchRoot string
	manifests   *manifests // nil keeps no copies
	facts       atomic.Pointer[watchers.Facts]
	index       *index
	stopped     chan struct{}         // closed when no turn will happen any more
	first       func(*machine.Record) // see Simulation.First; nil in running hosts

	heads      headsFile
	complaints complaints
	starving   starving

	mu        sync.RWMutex
	units     map[string]*unit
	scopes    map[string]map[string]*unit // the same by their identities, of which an emulation has thousands
	templates map[string]*template        // by name, with the scope
	programs  map[string]*program         // the last one prepared, by the manifest's name
	gone      map[string][]string         // secrets that could not be opened, by unit
}

// New opens the host's state. The caller runs the host with Run, which also closes the state, or calls Close.
func New(cfg Config) (*Host, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, log: cfg.Log, book: newBook(), runq: newRunQueue(), timers: newTimers(cfg.Clock),
		looks: newLookPool(cfg.MaxLooks, cfg.Intercept), index: newIndex(),
		units: map[string]*unit{}, scopes: map[string]map[string]*unit{}, templates: map[string]*template{}, programs: map[string]*program{}, stopped: make(chan struct{}),
		heads: headsFile{turn: make(chan struct{}, 1)},
	}
	h.governors = newGovernors(cfg.Governors, h.after)
	h.metrics = newMetrics(cfg.Metrics)
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(newInstanceMetrics(h), newSlowedMetrics(h))
	}
	h.publisher = newPublisher(cfg, h.metrics)
	h.facts.Store(cfg.Facts)
	if err := h.openState(); err != nil {
		return nil, err
	}
	return h, nil
}

// openState opens the journal and the scratch folder, below StateDir or, without one, in a temporary folder.
func (h *Host) openState() (err error) {
	if h.cfg.StateDir == "" {
		// A name that nobody guesses, since others may write there too. The folder is made by the first look.
		h.scratchRoot = filepath.Join(os.TempDir(), "statecraft-"+uuid.NewString())
		return nil
	}
	dir, err := filepath.Abs(h.cfg.StateDir)
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if err := identity.MakeStateFolder(dir); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	h.scratchRoot = filepath.Join(dir, "scratch")
	opts := h.cfg.Journal
	opts.Dir, opts.Now, opts.Log = journalDir(dir), h.cfg.Clock.Now, h.log
	opts.Metrics, opts.Checkpoint = h.cfg.Metrics, h.book.checkpoint
	kept, _ := fs.Glob(os.DirFS(manifestsDir(dir)), manifestFile("", "*"))
	opts.Expected = len(kept) > 0 // a manifest is kept before a record is
	j, err := journal.Open(opts, h.book.replay)
	if err != nil {
		return fmt.Errorf("host log: %w", err)
	}
	h.store, h.manifests, h.vault = j, newManifests(dir, h.cfg.Clock.Now, h.book.digests), vault.Open(dir)
	if err := h.vault.Problem(); err != nil {
		h.log.Error("secrets_key_damaged", "error", err)
	}
	for _, d := range j.Status().Damage {
		h.log.Error("log_damaged", "segment", d.Segment, "offset", d.Offset, "reason", d.Reason, "lost_bytes", d.Lost)
	}
	return nil
}

// Run works until ctx ends, then stops every machine and returns when all goroutines have ended. Looks
// are cancelled and have a second to return, events that wait for the bus another to be published.
func (h *Host) Run(ctx context.Context) error {
	notifier, err := newNotifier(h.log)
	if err != nil {
		h.log.Warn("paths_not_watched", "error", err, "consequence", "files are polled only")
	}
	h.notifier = notifier
	var work, timing sync.WaitGroup
	published := make(chan struct{})
	timerCtx, stopTimers := context.WithCancel(context.Background())
	defer stopTimers()
	go func() {
		h.publisher.run()
		close(published)
	}()
	timing.Go(func() { h.timers.run(timerCtx, h.clockJumped) })
	for range h.cfg.Workers {
		work.Go(h.work)
	}
	<-ctx.Done()
	h.log.Info("host_stopping")
	stopTimers()
	timing.Wait()
	h.governors.stop()
	h.awaitEnd("looks_given_up", h.looks.stop())
	h.runq.close()
	work.Wait()
	close(h.stopped)
	err = h.Close()
	h.publisher.close()
	h.awaitEnd("publishing_given_up", published) // a bus may hang
	if h.notifier != nil {
		err = errors.Join(err, h.notifier.close())
	}
	return err
}

// stopGrace is how long looks may take to return when the host stops, and after them events to be published.
const stopGrace = time.Second

func (h *Host) awaitEnd(otherwise string, ended <-chan struct{}) {
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		h.log.Error(otherwise, "after", stopGrace)
	}
}

// Close syncs and closes the state of a host that is not running. Run does it by itself.
func (h *Host) Close() error {
	h.looks.end()
	if h.cfg.StateDir == "" {
		_ = os.RemoveAll(h.scratchRoot)
	}
	if h.store == nil {
		return nil
	}
	return h.store.Close()
}

// work is a worker: it gives units their turns.
func (h *Host) work() {
	for u := h.runq.pop(); u != nil; u = h.runq.pop() {
		u.turn()
	}
}

// clockJumped lets every machine look at the wall clock again.
func (h *Host) clockJumped() {
	h.log.Warn("clock_jumped", "now", h.cfg.Clock.Now())
	for _, u := range h.all() {
		u.signal(true)
	}
}

// all returns the units by name, so that a simulation goes the same way each time.
func (h *Host) all() []*unit {
	h.mu.RLock()
	units := slices.Collect(maps.Values(h.units))
	h.mu.RUnlock()
	slices.SortFunc(units, func(a, b *unit) int { return strings.Compare(a.name, b.name) })
	return units
}

func (h *Host) unit(name string) (*unit, bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	u, ok := h.units[name]
	return u, ok
}

// stateOf returns the recorded state of a machine.
func (h *Host) stateOf(name string) (string, bool) {
	u, ok := h.unit(name)
	if !ok {
		return "", false
	}
	p := u.published.Load()
	if p == nil {
		return "", false
	}
	return p.snap.State, true
}

// setFacts replaces the host's facts with what a watcher gathered.
func (h *Host) setFacts(raw []byte, name, watcher string) {
	facts, err := watchers.NewFacts(raw)
	if err != nil {
		h.log.Error("facts_refused", "machine", name, "watcher", watcher, "error", err)
		return
	}
	h.facts.Store(facts)
}

// Facts returns the host's present facts.
func (h *Host) Facts() *watchers.Facts { return h.facts.Load() }

func (h *Host) hook(point string) {
	if h.cfg.Hook != nil {
		h.cfg.Hook(point)
	}
}

// observe makes a record known outside of the machine.
func (h *Host) observe(u *unit, r *machine.Record, durable bool) {
	u.prog.records[r.Kind].Inc()
	if r.Kind == machine.RecordRefused {
		h.log.Info("event_refused", "machine", u.name, "event", r.Event, "state", r.From, "reason", r.Reason)
	}
	if h.cfg.Observe != nil {
		h.cfg.Observe(u.shown(r), durable)
	}
	if u.prog.def.Announces(r) {
		h.publisher.transition(u, r)
	}
}

func journalDir(stateDir string) string { return filepath.Join(stateDir, "journal") }
