// Package all is the catalogue of every watcher type, and their reference. It is the one place that knows them
// all; it adds nothing to them.
package all

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/cell"
	"github.com/statecraft-io/statecraft/watchers/consumers"
	"github.com/statecraft-io/statecraft/watchers/credentials"
	"github.com/statecraft-io/statecraft/watchers/delivery"
	"github.com/statecraft-io/statecraft/watchers/factgather"
	"github.com/statecraft-io/statecraft/watchers/inventory"
	"github.com/statecraft-io/statecraft/watchers/keyvalue"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/policy"
	"github.com/statecraft-io/statecraft/watchers/schedule"
)

// Services are what watcher types use of their host. The zero Services do for reading manifests: looks that need a service fail then.
type Services struct {
	Pool    *messaging.Pool  // of connections
	Spawner watchers.Spawner // of instances
	Wallets identity.Wallets // of who machines run as
	Refresh func(id string)  // told when the credentials of an identity have changed
	// Heads signs heads of the host's journal; nil where there is none.
	Heads credentials.Heads
	// ReadHead verifies signed heads of journals; nil where there are none to be kept.
	ReadHead credentials.ReadHead
	// Delivery is for the types that bring machines; its Pool and Spawner are those above.
	Delivery delivery.Services
	Metrics  prometheus.Registerer // of watchers; nil keeps none
	// Cell is for the types of a cell's hosts.
	Cell cell.Services
}

// Types returns every watcher type in alphabetical order, those included that are only known by name.
func Types(s Services) []watchers.Type {
	bringing := s.Delivery
	bringing.Pool, bringing.Spawner = s.Pool, s.Spawner
	types := slices.Concat(
		[]watchers.Type{
			watchers.Exec(), watchers.Expression(), factgather.Type(), watchers.File(), schedule.Type(), watchers.Timer(),
			unsupported("ccm_manifest"), unsupported("homekit"), later("http", "httpswitch"),
			later("metric"), later("nagios"), later("replicate"),
		},
		on([]machine.Place{machine.OnOverlay}, slices.Concat(
			cell.Types(s.Cell, s.Pool), consumers.Types(consumers.Services{Pool: s.Pool, Metrics: s.Metrics}), keyvalue.Types(s.Pool),
			[]watchers.Type{credentials.SignedHeadType(s.ReadHead)})),
		credentials.Types(s.Wallets, s.Refresh),
		[]watchers.Type{credentials.JournalHeadType(s.Heads)}, delivery.Types(bringing),
		inventory.Types(inventory.Services{Pool: s.Pool, Deployer: s.Delivery.Deployer, Metrics: s.Metrics}),
		on([]machine.Place{machine.OnNode, machine.OnOverlay}, messaging.Types(s.Pool, s.Spawner)), policy.Types(),
	)
	slices.SortFunc(types, func(a, b watchers.Type) int { return strings.Compare(a.Name, b.Name) })
	return types
}

// on says where types have what they need.
func on(places []machine.Place, types []watchers.Type) []watchers.Type {
	for i := range types {
		types[i].On = places
	}
	return types
}

func later(name string, aliases ...string) watchers.Type {
	return watchers.Type{WatcherType: machine.WatcherType{
		Name: name, Aliases: aliases,
		Unsupported: "it comes with a later release; until then use exec with a command that does it",
	}}
}

func unsupported(name string) watchers.Type {
	return watchers.Type{WatcherType: machine.WatcherType{
		Name: name, Unsupported: "there is no such type here; use exec with a command that does it",
	}}
}

// Catalogue finds watcher types by name or alias. It implements machine.Catalogue and is immutable.
type Catalogue struct {
	types  []watchers.Type
	byName map[string]*watchers.Type
}

// New returns the catalogue of Types.
func New(s Services) *Catalogue {
	c := &Catalogue{types: Types(s), byName: map[string]*watchers.Type{}}
	for i := range c.types {
		t := &c.types[i]
		for _, name := range append([]string{t.Name}, t.Aliases...) {
			c.byName[name] = t
		}
	}
	return c
}

// Types returns every type in alphabetical order. The slice must not be changed.
func (c *Catalogue) Types() []watchers.Type { return c.types }

// Type returns the type of a name or alias.
func (c *Catalogue) Type(name string) (*watchers.Type, bool) {
	t, ok := c.byName[name]
	return t, ok
}

// Find implements machine.Catalogue. It also finds types that are only known by name.
func (c *Catalogue) Find(name string) (*machine.WatcherType, bool) {
	t, ok := c.byName[name]
	if !ok {
		return nil, false
	}
	return &t.WatcherType, true
}

// Names returns the names and aliases of the types that a manifest can use, sorted.
func (c *Catalogue) Names() []string {
	var names []string
	for name, t := range c.byName {
		if t.Unsupported == "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Prepare reads the properties of one watcher. The Prepared is nil when the list holds an error.
func (c *Catalogue) Prepare(w *machine.WatcherSpec) (*watchers.Prepared, diag.List) {
	t, ok := c.byName[w.Type]
	var list diag.List
	switch {
	case !ok:
		list.Add(diag.Error, "SC201", w.Place("type"), "the types are "+strings.Join(c.Names(), ", "),
			"watcher %s: %q is not a type of watcher", w.Name, w.Type)
	case t.Unsupported != "":
		list.Add(diag.Error, "SC202", w.Place("type"), t.Unsupported, "watcher %s: the type %s is not supported", w.Name, w.Type)
	default:
		return t.Prepare(w)
	}
	return nil, list
}
