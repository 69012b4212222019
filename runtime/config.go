package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	goruntime "runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/journal"
	"github.com/statecraft-io/statecraft/watchers"
)

// Catalogue is what a host needs of the watcher types; watchers/all implements it.
type Catalogue interface {
	machine.Catalogue
	Prepare(w *machine.WatcherSpec) (*watchers.Prepared, diag.List)
}

// Config is everything a Host depends on. Fields without a default are required.
type Config struct {
	Identity  string // of this host, in events and expressions
	Catalogue Catalogue
	Clock     clock.Clock
	Log       *slog.Logger
	// StateDir holds the journal, the machines' scratch folders, copies of the manifests and the key of secrets. Empty keeps everything in memory.
	StateDir string
	// Journal carries the limits and fault hooks of the journal; Dir, Now, Log, Metrics and Checkpoint are set here.
	Journal journal.Options
	// Bus receives events; nil publishes nothing.
	Bus Bus
	// Metrics registers the host's metrics; nil keeps none.
	Metrics prometheus.Registerer
	// Governors gives the capacity of governors by name; one that is not named admits one look at a time.
	Governors map[string]int
	// Facts is the fact document to begin with; nil is empty.
	Facts *watchers.Facts
	// Workers take turns; default GOMAXPROCS.
	Workers int
	// MaxLooks bounds the looks with a goroutine of their own that run at once; default 512.
	MaxLooks int
	// InboxSize bounds a machine's waiting messages; default 1024. An operator's events have an
	// eighth of it to themselves.
	InboxSize int
	// Random returns a delay in [0, below); default the global random source.
	Random func(below time.Duration) time.Duration
	// Observe is called in the machine's turn with every record that took effect, in order, as it may be shown: with machine.Concealed in
	// place of secrets, but in simulations. It must not block or keep the record's maps. May be nil.
	Observe func(r *machine.Record, durable bool)
	// Intercept, when set, is given every look that would need a goroutine, and completes it.
	Intercept func(p *PendingLook)
	// Degraded gives further reasons why the host is not well, such as its broker's, for Health. It must not block. May be nil.
	Degraded func() []string
	// Published says by whose word a machine runs that was published: which list names a bundle of this digest now. May be nil.
	Published func(identity, name, content string) Origin
	// Hook is called at the named points of a turn; fault tests end the process there. May be nil.
	Hook func(point string)
}

// The points at which Config.Hook is called, in the order of a turn.
const (
	HookAccept  = "accept"  // a message entered an inbox
	HookDecide  = "decide"  // Step has decided, nothing is recorded
	HookRecord  = "record"  // the record is about to be appended
	HookCommit  = "commit"  // the record is synced, no effect has started
	HookEffect  = "effect"  // a look is about to start
	HookOutcome = "outcome" // a look has ended, its outcome is not recorded
)

const (
	defaultMaxLooks  = 512
	defaultInboxSize = 1024
)

// Validate fills the defaults and reports what is missing.
func (c *Config) Validate() error {
	var errs []error
	need := func(missing bool, name string) {
		if missing {
			errs = append(errs, fmt.Errorf("runtime config: %s is required", name))
		}
	}
	need(c.Identity == "", "Identity")
	need(c.Catalogue == nil, "Catalogue")
	need(c.Clock == nil, "Clock")
	need(c.Log == nil, "Log")
	for name, slots := range c.Governors {
		if slots < 1 {
			errs = append(errs, fmt.Errorf("runtime config: governor %q has capacity %d, needs at least 1", name, slots))
		}
	}
	if c.Workers <= 0 {
		c.Workers = goruntime.GOMAXPROCS(0)
	}
	if c.MaxLooks <= 0 {
		c.MaxLooks = defaultMaxLooks
	}
	if c.InboxSize <= 0 {
		c.InboxSize = defaultInboxSize
	}
	if c.Random == nil {
		c.Random = randomDelay
	}
	return errors.Join(errs...)
}

// randomDelay draws from the global source, which is safe for concurrent use.
func randomDelay(below time.Duration) time.Duration {
	if below <= 0 {
		return 0
	}
	return rand.N(below)
}
