package overlay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/watchers/cell"
)

// membership is a host's way into its cell. Before the machine join lets it serve it runs few machines, and where it moves in with others
// its broker can be reached by them alone.
type membership struct {
	moves atomic.Bool                   // it has streams that are to be copied
	alone atomic.Pointer[broker.Broker] // the broker with those

	mu     sync.Mutex // held while the host begins to serve
	cancel context.CancelFunc
	told   sync.Once // that it serves
}

// joinMachine brings the host into its cell.
const joinMachine = "join"

// beforeServing are the machines that run before the host serves: who follows how it comes into its cell, and how its broker is.
func beforeServing() []string { return []string{joinMachine, healthMachine} }

// enter starts the host's brokers.
func (h *Host) enter(ctx context.Context) error {
	moves, err := h.setAsideAlone()
	if err != nil {
		return err
	}
	h.member.moves.Store(moves)
	if moves {
		if err := h.openAlone(ctx); err != nil {
			return err
		}
	}
	if err := h.broker.open(ctx); err != nil {
		return errors.Join(err, h.member.leave())
	}
	return nil
}

// openAlone starts the broker with the streams that are to be copied.
func (h *Host) openAlone(ctx context.Context) error {
	cfg, err := h.aloneConfig()
	if err != nil {
		return err
	}
	b, err := broker.Start(ctx, cfg)
	if err != nil {
		return fmt.Errorf("opening the streams that are to be copied, which are in %s: %w", h.path(aloneDir), err)
	}
	h.member.alone.Store(b)
	keep, cancel := context.WithCancel(context.WithoutCancel(ctx))
	h.member.cancel = cancel
	h.cfg.Log.Info("streams_are_copied", "cell", h.cfg.Config.Cell, "peers", h.cfg.Config.Peers, "from", h.path(aloneDir))
	return h.pool.Keep(keep, h.cfg.Config.Host, aloneConnection)
}

// leave ends the broker with the streams that were to be copied.
func (m *membership) leave() error {
	if m.cancel != nil {
		m.cancel()
	}
	if b := m.alone.Swap(nil); b != nil {
		return b.Close()
	}
	return nil
}

// Standing implements cell.Member.
func (h *Host) Standing() (cell.Standing, error) {
	c := h.cfg.Config
	founder := len(c.Founders) == 0 || slices.Contains(c.Founders, c.Host)
	s := cell.Standing{Kind: cell.Founds, Founder: founder, Version: h.cfg.Version, Hosts: c.Replicas, Settings: h.settings()}
	switch {
	case h.member.moves.Load():
		s.Kind = cell.Moves
		var err error
		if s.Streams, err = streamsIn(h.path(aloneDir)); err != nil {
			return s, err
		}
	case c.Replicas == 1:
		s.Kind = cell.StandsAlone
	case !founder:
		s.Kind = cell.Joins
	}
	return s, nil
}

// Open implements cell.Member. What was copied is kept beside; the broker listens for nodes and clients from now on.
func (h *Host) Open(ctx context.Context) error {
	h.member.mu.Lock()
	defer h.member.mu.Unlock()
	if h.member.moves.Load() {
		if err := h.member.leave(); err != nil {
			return err
		}
		if _, err := os.Stat(h.path(aloneDir)); err == nil {
			if err := os.Rename(h.path(aloneDir), h.path(copiedDir)); err != nil {
				return fmt.Errorf("keeping the streams that were copied: %w", err)
			}
		}
		h.member.moves.Store(false)
		if err := h.Restart(ctx); err != nil {
			h.member.moves.Store(true) // so that it is tried again
			return err
		}
	}
	others := slices.Concat(beforeServing(), afterServing())
	if err := h.deploy(ctx, func(name string) bool { return !slices.Contains(others, name) }); err != nil {
		return err
	}
	if err := h.deploy(ctx, func(name string) bool { return slices.Contains(afterServing(), name) }); err != nil {
		return err
	}
	if h.cfg.Serving != nil {
		h.member.told.Do(func() { h.cfg.Serving(h.serving()) })
	}
	return nil
}

// Serving is what a host that serves does, for people.
type Serving struct {
	Fleet, Enrollment, Cluster string   // the URLs at which it listens for nodes and clients, for nodes that join and for the other hosts; "" for not at all
	Machines                   []string // by name, those of this release and the site's own
}

func (h *Host) serving() Serving {
	var s Serving
	if b := h.broker.current.Load(); b != nil {
		s.Fleet, s.Enrollment, s.Cluster = b.ClientURL(), b.EnrollmentURL(), b.ClusterURL()
	}
	for _, d := range h.set.Deployments {
		if d.Definition.Manifest.Kind != machine.KindTemplate {
			s.Machines = append(s.Machines, d.Definition.Manifest.Name)
		}
	}
	slices.Sort(s.Machines)
	return s
}

// settings are those of the configuration that are the cell's.
func (h *Host) settings() map[string]any {
	c := h.cfg.Config
	configuration := c.Configuration
	if configuration == nil {
		configuration = map[string]any{}
	}
	return map[string]any{
		"helper": c.Helper, "helper_workers": c.HelperWorkers, "configuration": configuration, "hosts": c.Replicas, "machines": h.own,
		"stream_bytes": c.StreamBytes,
	}
}

// ownMachines tells the site's own machines apart, by a digest of those of a set that are not among the built-in ones; "" where there are none.
func ownMachines(set, builtin []runtime.Deployment) string {
	var lines []string
	for _, d := range set {
		same := func(b runtime.Deployment) bool {
			return b.Definition.Manifest.Digest == d.Definition.Manifest.Digest && slices.Equal(b.Definition.Files(), d.Definition.Files())
		}
		if slices.ContainsFunc(builtin, same) {
			continue
		}
		lines = append(lines, d.Definition.Manifest.Name+" "+d.Definition.Manifest.Digest.String())
		for _, f := range d.Definition.Files() { // what is read with it is part of it
			lines = append(lines, d.Definition.Manifest.Name+" "+f.Name+" "+f.Digest.String())
		}
	}
	if len(lines) == 0 {
		return ""
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// settingsMachine holds the host's settings against the cell's.
const settingsMachine = "settings"

// settingsDiffer names the settings of the cell that the host's configuration has otherwise.
func (h *Host) settingsDiffer() (names []string) {
	for _, machine := range []string{settingsMachine, joinMachine} { // a host that is refused does not run the first
		_, data, _ := h.host.Glance(machine)
		differs, _ := data["differs"].([]any)
		for _, name := range differs {
			if text, ok := name.(string); ok && !slices.Contains(names, text) {
				names = append(names, text)
			}
		}
	}
	return names
}

// settingsMetric counts them.
func (h *Host) settingsMetric() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "statecraft", Subsystem: "cell", Name: "settings_differ", Help: "Settings of the cell that this host's configuration has otherwise.",
	}, func() float64 { return float64(len(h.settingsDiffer())) })
}
