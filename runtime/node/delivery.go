package node

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/delivery"
)

// The folders of an agent beside its identity and state.
const (
	registryDir = "registry"
	machinesDir = "machines"
)

// trustPlace is what a node trusts in the cell that it belongs to. In another cell it begins anew.
type trustPlace struct {
	cell  string
	store *registry.Store
}

// shipment is what the agent's nodes have of bundles: whom they trust, and where their machines are.
type shipment struct {
	agent     *Agent
	envelopes registry.Envelopes             // which all nodes of a cell are given alike
	kept      atomic.Pointer[registry.Store] // what the agent's own node trusts; nil until it is opened

	mu     sync.Mutex
	trusts map[string]*trustPlace // by identity
	slots  map[string]*registry.Slots
	temp   string // of the slots of nodes that are kept in memory; "" while there is none
}

func newShipment(a *Agent) *shipment {
	return &shipment{agent: a, trusts: map[string]*trustPlace{}, slots: map[string]*registry.Slots{}}
}

// delivery are the services of the watchers that bring machines.
func (a *Agent) delivery() delivery.Services {
	return delivery.Services{
		Deployer: runtime.NewDeployer(runtime.DeployerConfig{Host: func() *runtime.Host { return a.host }, Reserved: a.builtIn}),
		Stores:   a.shipment.store, Slots: a.shipment.slotsOf, Cell: a.shipment.cell,
	}
}

// publishedBy is by whose word a published machine of a node runs.
func (a *Agent) publishedBy(id, name, content string) runtime.Origin {
	trust, _ := a.shipment.store(id)
	return builtin.Published(trust, defaultChannel, name, content)
}

// defaultChannel is the one that nodes follow.
const defaultChannel = "default"

// builtIn reports whether a machine comes with the program, or is one of the site's own.
func (a *Agent) builtIn(name string) bool {
	return slices.ContainsFunc(a.set.Deployments, func(d runtime.Deployment) bool { return d.Definition.Manifest.Name == name })
}

// own reports whether an identity is the agent's, whose folder then has what belongs to it. All others are emulated, in memory.
func (a *Agent) own(id string) bool { return a.cfg.Dir != "" && id == a.cfg.Identity }

// store is what an identity trusts in its present cell; nil where it belongs to none.
func (s *shipment) store(id string) (*registry.Store, error) {
	given, err := s.assignment(id)
	if errors.Is(err, identity.ErrNothing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.trusts[id]; p != nil && p.cell == given.Cell {
		return p.store, nil
	}
	dir := ""
	if s.agent.own(id) {
		dir = filepath.Join(s.agent.cfg.Dir, registryDir, url.PathEscape(given.Cell))
	}
	store, err := s.envelopes.OpenStore(dir, func() ([]identity.PublicKey, error) { return s.anchors(id) })
	if err != nil {
		return nil, err
	}
	for _, fault := range store.Faults() {
		s.agent.cfg.Log.Warn("trust_damaged", "node", id, "fault", fault)
	}
	if s.agent.own(id) {
		s.kept.Store(store)
	}
	s.trusts[id] = &trustPlace{cell: given.Cell, store: store}
	return store, nil
}

// degraded says what is wrong with what the agent's own node keeps of what it trusts.
func (s *shipment) degraded() []string {
	if store := s.kept.Load(); store != nil {
		return store.Faults()
	}
	return nil
}

// assignment is what a node was assigned, which may be on trial.
func (s *shipment) assignment(id string) (*identity.Assignment, error) {
	w, err := s.agent.wallet(id)
	if err != nil {
		return nil, err
	}
	return w.Store.Active()
}

// anchors are the roots of the node's cell.
func (s *shipment) anchors(id string) ([]identity.PublicKey, error) {
	given, err := s.assignment(id)
	if err != nil {
		return nil, err
	}
	var anchors []identity.PublicKey
	for _, text := range given.Roots {
		key, err := identity.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("a root of node %s: %w", id, err)
		}
		anchors = append(anchors, key)
	}
	return anchors, nil
}

// cell is the one that the store of an identity is for.
func (s *shipment) cell(id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.trusts[id]; p != nil {
		return p.cell, nil
	}
	return "", fmt.Errorf("nothing is known of the cell of node %s", id)
}

// slotsOf is where the machines of an identity are.
func (s *shipment) slotsOf(id string) (*registry.Slots, error) {
	if s.agent.own(id) {
		dir, err := filepath.Abs(s.agent.cfg.Dir)
		return &registry.Slots{Target: filepath.Join(dir, machinesDir), Sync: true}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.slots[id]; have != nil {
		return have, nil
	}
	if s.temp == "" {
		dir, err := os.MkdirTemp(inMemory(), "statecraft-machines-")
		if err == nil {
			err = os.Chmod(dir, 0o700|passable)
		}
		if err != nil {
			return nil, fmt.Errorf("making a folder for the machines of emulated nodes: %w", err)
		}
		s.temp = dir
	}
	s.slots[id] = &registry.Slots{Target: filepath.Join(s.temp, url.PathEscape(id))}
	return s.slots[id], nil
}

// inMemory is a folder that is kept in memory where the system has one: thousands of emulated nodes would wait for one disk. "" is the
// system's folder for temporary files.
func inMemory() string {
	const shared = "/dev/shm" // Linux: see shm_overview(7)
	if os.Getenv("TMPDIR") != "" || unix.Access(shared, unix.W_OK) != nil {
		return ""
	}
	return shared
}

// close removes what was in memory only.
func (s *shipment) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.temp == "" {
		return
	}
	if err := os.RemoveAll(s.temp); err != nil {
		s.agent.cfg.Log.Warn("machines_of_emulated_nodes_not_removed", "folder", s.temp, "error", err)
	}
	s.temp, s.slots = "", map[string]*registry.Slots{}
}
