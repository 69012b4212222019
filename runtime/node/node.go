// Package node is the agent of a node, or of many emulated ones in one process: the runtime with the node's machines, the
// identity that they work with, and the connections that they open. How a node joins, beats and heals is in its machines.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// Config is what an agent works with. Fields without a default are required.
type Config struct {
	// Identity is the node's own, or that of the process where nodes are emulated.
	Identity string
	// Dir holds the state of the machines and, below identity/, the node's key and what it was assigned. Empty keeps everything in memory.
	Dir   string
	Clock clock.Clock
	Log   *slog.Logger
	// Metrics registers the host's metrics; nil keeps none.
	Metrics prometheus.Registerer
	// Machines is a folder of machines that take the place of built-in ones of the same name, or run beside them; "" for none.
	Machines string
	// Vouch says which machines of that folder may run.
	Vouch runtime.Vouch
	// Version is of the program.
	Version string
	// Without names built-in machines that do not run.
	Without []string
	// Facts is the fact document to begin with; nil is empty.
	Facts *watchers.Facts
	// MaxLooks bounds the looks that run at once; 0 is the host's default.
	MaxLooks int
	// Observe is given every record that took effect, as runtime.Config.Observe.
	Observe func(r *machine.Record, durable bool)
}

// Agent runs the machines of one node, or of several.
type Agent struct {
	cfg  Config
	host *runtime.Host
	pool *messaging.Pool
	set  builtin.Machines

	shipment *shipment
	trusts   trusts
	// issuers are those whose certificates some node here has verified: all nodes of a cell are given tokens by the same few.
	issuers identity.Certificates

	mu      sync.Mutex
	wallets map[string]*identity.Wallet // by identity
}

// BuiltIn are the machines that come with the program and run on every node.
func BuiltIn() builtin.Set { return builtin.Set{Folder: "node"} }

// machines are the node's, with the site's own.
func (c *Config) machines() builtin.Set {
	s := BuiltIn()
	s.Overrides, s.Vouch, s.Release, s.Without = c.Machines, c.Vouch, c.Version, c.Without
	return s
}

// New opens the agent's state. The caller runs it with Run.
func New(cfg Config) (*Agent, error) {
	a := &Agent{cfg: cfg, wallets: map[string]*identity.Wallet{}}
	a.pool, a.shipment = messaging.NewPool(a.credentials, cfg.Log), newShipment(a)
	catalogue := all.New(all.Services{
		Pool: a.pool, Wallets: a.wallet, Refresh: a.pool.Refresh, Delivery: a.delivery(), Heads: a.signHead,
		Spawner: watchers.SpawnerFunc(func(ctx context.Context, o watchers.SpawnOrder) (bool, error) { return a.host.Spawn(ctx, o) }),
	})
	host := runtime.Config{
		Identity: cfg.Identity, Catalogue: catalogue, Clock: cfg.Clock, Log: cfg.Log, Metrics: cfg.Metrics,
		Facts: cfg.Facts, MaxLooks: cfg.MaxLooks, Observe: cfg.Observe, Bus: &bus{pool: a.pool}, Published: a.publishedBy, Degraded: a.degraded,
	}
	if cfg.Dir != "" {
		if err := openFolder(cfg.Dir, cfg.Log); err != nil {
			return nil, fmt.Errorf("the node's folder: %w", err)
		}
		host.StateDir = filepath.Join(cfg.Dir, "state")
	}
	var err error
	if a.set, err = builtin.Load(cfg.machines(), catalogue); err != nil {
		return nil, err
	}
	a.set.Report(cfg.Log)
	if a.host, err = runtime.New(host); err != nil {
		return nil, err
	}
	if cfg.Dir != "" {
		if err := builtin.Tidy(cfg.Dir, a.set.Deployments); err != nil {
			cfg.Log.Warn("copies_not_removed", "error", err)
		}
	}
	return a, nil
}

// passable is what every user may do with a node's folder: pass through it, and not see what it has. The published machines are below, which may
// run as another user; the folders beside them, which have secrets, are of mode 0700.
const passable = 0o011

// openFolder makes a node's folder, or makes one that belongs to this user passable.
func openFolder(dir string, log *slog.Logger) error {
	if err := identity.CheckStateFolder(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700|passable); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	owner, known := info.Sys().(*syscall.Stat_t)
	if mode&passable == passable || !known || int(owner.Uid) != os.Geteuid() {
		return nil
	}
	if err := os.Chmod(dir, mode|passable); err != nil {
		log.Warn("state_folder_not_passable", "folder", dir, "error", err, "consequence", "published machines cannot run as another user")
		return nil
	}
	log.Info("state_folder_passable", "folder", dir, "mode", fmt.Sprintf("%04o", mode|passable))
	return nil
}

// ErrOtherNode is the cause where what is kept in a folder was assigned to another node.
var ErrOtherNode = errors.New("what is kept here was assigned to another node")

// identityDir is the folder, below an agent's, of the node's store.
const identityDir = "identity"

// Owner is who the node of an agent's folder is, as identity.Store.Owner says. Nothing is made or written, whoever else is at work there.
func Owner(dir string) (id identity.Identity, assigned bool, err error) {
	return identity.ViewStore(filepath.Join(dir, identityDir)).Owner()
}

// Host is the host of the agent's machines.
func (a *Agent) Host() *runtime.Host { return a.host }

// Pool is the agent's connections.
func (a *Agent) Pool() *messaging.Pool { return a.pool }

// OpenStore opens the store of the node in the agent's folder.
func (a *Agent) OpenStore() (*identity.Store, error) {
	if a.cfg.Dir == "" {
		return identity.OpenStore("")
	}
	return identity.OpenStore(filepath.Join(a.cfg.Dir, identityDir))
}

// Add lets the agent's machines run as an identity, with what its store holds: a join token at least, or an assignment. Run
// must have been called. A store that was assigned to another identity is refused (ErrOtherNode): under another name its node is served nothing.
func (a *Agent) Add(ctx context.Context, id string, store *identity.Store) error {
	if _, err := identity.Parse(id); err != nil {
		return fmt.Errorf("node %q: %w", id, err)
	}
	if owner, assigned, err := store.Owner(); err == nil && assigned && string(owner) != id {
		return fmt.Errorf("node %s: %w: it is of %s", id, ErrOtherNode, owner)
	}
	a.mu.Lock()
	a.wallets[id] = &identity.Wallet{Store: store, Known: &a.issuers}
	a.mu.Unlock()
	return builtin.Deploy(ctx, a.host, a.set.Deployments, id, nil)
}

// Run works until ctx ends. The nodes then say that they stop, as their heartbeat machines have it, before their machines end.
func (a *Agent) Run(ctx context.Context) error {
	hostCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- a.host.Run(hostCtx) }()
	select {
	case err := <-ended:
		a.pool.Close()
		a.shipment.close()
		return err
	case <-ctx.Done():
	}
	a.sayGoodbye(hostCtx)
	stop()
	err := <-ended
	a.pool.Close()
	a.shipment.close()
	return err
}

// goodbye is how long nodes may take to tell that they stop.
const goodbye = 2 * time.Second

// sayGoodbye stops the heartbeats in order, so that a clean end can be told from a crash, and lets the nodes tell the last heads of their journal.
func (a *Agent) sayGoodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	a.mu.Lock()
	nodes := slices.Collect(maps.Keys(a.wallets))
	a.mu.Unlock() // they need their wallets to say something
	for _, id := range nodes {
		for _, name := range parting() {
			_, err := a.host.Fire(ctx, a.unit(id, name), "stop", nil, "agent")
			if err != nil && !errors.Is(err, runtime.ErrUnknownMachine) {
				a.cfg.Log.Warn("machine_not_stopped", "node", id, "machine", name, "error", err)
			}
		}
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for a.leaving() {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// parting are the built-in machines that tell something when their node stops.
func parting() []string { return []string{"heartbeat", "evidence"} }

// leaving reports whether such a machine still has something to tell.
func (a *Agent) leaving() bool {
	for _, m := range a.host.Machines() {
		if (m.State == "stopping" || m.State == "closing") && slices.Contains(parting(), filepath.Base(m.Name)) {
			return true
		}
	}
	return false
}

// unit is the name of a node's machine on the host.
func (a *Agent) unit(id, name string) string {
	if id == a.cfg.Identity {
		return name
	}
	return id + "/" + name
}

func (a *Agent) wallet(id string) (*identity.Wallet, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.wallets[id]
	if w == nil {
		return nil, fmt.Errorf("no node %q runs here", id)
	}
	return w, nil
}
