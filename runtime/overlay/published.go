package overlay

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/watchers/delivery"
)

// A host runs what the channel registry.OverlayChannel publishes, beside its built-in machines and in place of those of the same name. It starts with
// the built-in ones, and goes back to them whenever what is published cannot run.

// publishedDir is where the machines are that were published for hosts.
const publishedDir = "published"

// deployerMachine and bundleMachine bring what is published.
const (
	deployerMachine = "deployer"
	bundleMachine   = "bundle"
)

// Irreplaceable are the built-in machines that nothing published takes the place of: the deployer and bundle, by which it comes, and join, which a host that comes
// to a cell runs before there is anything published.
func Irreplaceable() []string { return []string{deployerMachine, bundleMachine, joinMachine} }

// afterServing are the machines that run when all others do: what they bring takes the place of others.
func afterServing() []string { return []string{deployerMachine, bundleMachine} }

// newDeployer makes what runs what is published, with the input of the host's own machines.
func (h *Host) newDeployer() *runtime.Deployer {
	return runtime.NewDeployer(runtime.DeployerConfig{
		Host: func() *runtime.Host { return h.host }, Reserved: h.reservedMachine, BuiltIn: h.builtIn,
		Input: func() (map[string]any, error) { return h.input, nil },
	})
}

// delivery are the services of the watchers that bring machines, and of those that take what is published.
func (h *Host) delivery() delivery.Services {
	return delivery.Services{
		Deployer: h.deployer,
		Stores:   func(string) (*registry.Store, error) { return h.trust, nil },
		Cell:     func(string) (string, error) { return h.cfg.Config.Cell, nil },
		Slots: func(string) (*registry.Slots, error) {
			return &registry.Slots{Target: h.publishedDir(), Sync: true}, nil
		},
		// The host asks as a client does: any host of the cell answers.
		Bundles: func(string) string { return broker.ServiceSubject(h.key.Public().NKey(), "bundle") },
	}
}

func (h *Host) publishedDir() string {
	dir := h.path(publishedDir)
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// reservedMachine reports whether nothing published may have a name: that of a machine by which it comes, or of one of the site's own, which whoever
// has the host's folder put there.
func (h *Host) reservedMachine(name string) bool {
	return slices.Contains(Irreplaceable(), name) || slices.ContainsFunc(h.set.Deployments, func(d runtime.Deployment) bool {
		return d.Definition.Manifest.Name == name && d.Directory != ""
	})
}

// builtIn is the built-in machine that one which is published may replace, as it is to run again.
func (h *Host) builtIn(name string) (runtime.Deployment, bool) {
	if h.reservedMachine(name) {
		return runtime.Deployment{}, false
	}
	for _, d := range h.set.Deployments {
		if d.Definition.Manifest.Name == name {
			d.Input = h.input
			return d, true
		}
	}
	return runtime.Deployment{}, false
}

// publishedBy is by whose word a published machine runs.
func (h *Host) publishedBy(_, name, content string) runtime.Origin {
	return builtin.Published(h.trust, registry.OverlayChannel, name, content)
}

// publishedFaults say what of the channel overlay does not run as it was published.
func (h *Host) publishedFaults() (reasons []string) {
	if h.cfg.WithoutPublished {
		return []string{"it was started with --without-published: nothing that the channel overlay publishes runs here"}
	}
	_, data, _ := h.host.Glance(deployerMachine)
	if reason, _ := data["reason"].(string); reason != "" {
		detail, _ := data["detail"].(string)
		reasons = append(reasons, fmt.Sprintf("what the channel overlay publishes is refused (%s): %s; statecraft states deployer says more", reason, detail))
	}
	for _, m := range h.host.Machines() {
		name, ours := strings.CutPrefix(m.Name, bundleMachine+":")
		if !ours || m.State != "held" && m.State != "stopped" {
			continue
		}
		_, data, _ := h.host.Glance(m.Name)
		reason, _ := data["reason"].(string)
		reasons = append(reasons, fmt.Sprintf("the published machine %s is %s: %s; statecraft states %s says more", name, m.State, reason, m.Name))
	}
	return reasons
}
