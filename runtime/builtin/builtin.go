// Package builtin brings the machines that come with the program to a host: it reads them, lets a site's own take their
// place, and gives every one the site's configuration as its input. What they do is in package manifests, as YAML.
package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Set is what a host runs.
type Set struct {
	Folder string // of package manifests: "node" or "overlay"
	// Also are manifests of other folders of that package, such as node/bundle.yaml.
	Also []string
	// Overrides is a folder of machines, as `statecraft run` takes them, that run in place of those of the same name or beside
	// them; "" for none.
	Overrides string
	// Vouch says which machines of Overrides may run.
	Vouch runtime.Vouch
	// Release is of the program, by whose word the machines run that come with it.
	Release string
	// Without names machines of the folder that do not run.
	Without []string
}

// Machines are what a set comes to.
type Machines struct {
	// Deployments are what runs, in the order in which it is deployed.
	Deployments []runtime.Deployment
	// Refused are the site's own machines that do not fit the others: what they would replace runs in their place.
	Refused []runtime.Refused
	// Findings are those in the site's own machines, and between them and the others.
	Findings diag.List
}

// Degraded says which of the site's own machines are not deployed, and why.
func (m *Machines) Degraded() (reasons []string) {
	for _, r := range m.Refused {
		reasons = append(reasons, fmt.Sprintf("the site's machine %s (%s) is not deployed: %s", r.Name, r.File, firstLine(r.Err)))
	}
	return reasons
}

// Report logs what was found in the site's machines, and which of them are not deployed.
func (m *Machines) Report(log *slog.Logger) {
	for _, d := range m.Findings {
		if d.Severity == diag.Warning {
			log.Warn("machine_finding", "finding", d.String(), "hint", d.Hint)
		}
	}
	for _, r := range m.Refused {
		log.Error("machine_refused", "machine", r.Name, "manifest", r.File, "error", r.Err)
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// Load reads the machines of a set. The error of manifests with findings is a diag.List. A machine of the site that is right by itself and does not fit
// the others is no error: without it all others run.
func Load(s Set, c runtime.Catalogue) (Machines, error) {
	came, err := comeWith(s, c)
	if err != nil {
		return Machines{}, err
	}
	offers, err := overrides(s.Overrides, s.Vouch)
	if err != nil {
		return Machines{}, err
	}
	t := runtime.Load(offers, definitions(came), c)
	for _, r := range t.Refused {
		if !r.Between {
			return Machines{}, r.Err
		}
	}
	m := Machines{Refused: t.Refused, Findings: t.Findings}
	for _, d := range came {
		name := d.Definition.Manifest.Name
		if !slices.ContainsFunc(t.Ready, func(own runtime.Deployment) bool { return own.Definition.Manifest.Name == name }) {
			m.Deployments = append(m.Deployments, d)
		}
	}
	m.Deployments = append(m.Deployments, t.Ready...)
	runtime.SortForDeployment(m.Deployments)
	return m, nil
}

// Definitions are the machines of a set that come with the program.
func Definitions(s Set, c runtime.Catalogue) ([]*machine.Definition, error) {
	came, err := comeWith(s, c)
	return definitions(came), err
}

func definitions(ds []runtime.Deployment) (defs []*machine.Definition) {
	for _, d := range ds {
		defs = append(defs, d.Definition)
	}
	return defs
}

// comeWith reads the machines of a set that come with the program.
func comeWith(s Set, c runtime.Catalogue) ([]runtime.Deployment, error) {
	names, err := fs.Glob(manifests.Files, path.Join(s.Folder, "*.yaml"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("reading the built-in machines of %q: there are none", s.Folder)
	}
	var offers []runtime.Offer
	for _, name := range append(names, s.Also...) {
		if strings.HasSuffix(name, "_test.yaml") || slices.Contains(s.Without, strings.TrimSuffix(path.Base(name), ".yaml")) {
			continue
		}
		src, err := manifests.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the built-in machine %s: %w", name, err)
		}
		offers = append(offers, runtime.Offer{
			Text:       machine.Text{File: name, Source: src, Files: runtime.FilesOf(manifests.Files, path.Dir(name))},
			Deployment: runtime.Deployment{Origin: runtime.Origin{Kind: runtime.OriginBuiltIn, Release: s.Release}},
		})
	}
	t := runtime.Load(offers, nil, c)
	if err := t.Err(); err != nil {
		return nil, fmt.Errorf("the built-in machines of %q: %w", s.Folder, err)
	}
	return t.Ready, nil
}

// overrides reads a site's own machines.
func overrides(folder string, vouch runtime.Vouch) ([]runtime.Offer, error) {
	if folder == "" {
		return nil, nil
	}
	if vouch == nil {
		return nil, fmt.Errorf("reading the site's machines: nobody says which of %s may run", folder)
	}
	found, err := runtime.FindMachines(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the site's machines: %w", err)
	}
	var offers []runtime.Offer
	for _, file := range found {
		o, err := runtime.OfferFolder(file, vouch)
		if err != nil {
			return nil, fmt.Errorf("reading the site's machines: %w", err)
		}
		offers = append(offers, o)
	}
	return offers, nil
}

// Deploy deploys a set to a host, each machine as the identity given ("" is the host's) and with the input given.
func Deploy(ctx context.Context, h *runtime.Host, set []runtime.Deployment, id string, input map[string]any) error {
	return Start(ctx, h.Deploy, set, id, input)
}

// Start is Deploy by a function that deploys one machine, which may have reasons to leave it.
func Start(ctx context.Context, deploy func(context.Context, runtime.Deployment) error, set []runtime.Deployment, id string, input map[string]any) error {
	for _, d := range set {
		d.Identity, d.Input = id, input
		if err := deploy(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// Published is by whose word a machine runs that was published to a channel, as its bundle's digest is in the last good list; of one that the list does not name
// any more only the channel is known. A nil trust knows nothing.
func Published(trust *registry.Store, channel, name, digest string) runtime.Origin {
	o := runtime.Origin{Kind: runtime.OriginPublished, Channel: channel}
	if trust == nil {
		return o
	}
	spec, signers, err := trust.Named(channel, name, digest)
	if err != nil || spec == nil {
		return o
	}
	o.Serial = spec.Serial
	for _, key := range signers {
		o.Signers = append(o.Signers, key.String())
	}
	return o
}

// SignedBy vouches for folders that one of some keys has signed, as registry.VerifyFolder says. Their machines run from copies of what was verified, in a
// folder of the host's own. now is the wall clock.
func SignedBy(keys []identity.PublicKey, now func() time.Time, copies registry.Copies) runtime.Vouch {
	return func(d *runtime.Deployment) error {
		if d.Content == "" {
			return fmt.Errorf("%s: %w", d.Definition.Manifest.Name, ErrNoFolder)
		}
		s, err := registry.VerifyFolder(d.Directory, keys, now())
		if err != nil {
			return fmt.Errorf("%s: %w", d.Directory, err)
		}
		if m := d.Definition.Manifest; s.Name != m.Name || s.Manifest != m.Digest.String() {
			return fmt.Errorf("%s: %w", d.Directory, &registry.Tampered{Changed: []string{runtime.ManifestName}})
		}
		for _, f := range d.Definition.Files() {
			if s.Files[path.Clean(f.Name)] != f.Digest.String() {
				return fmt.Errorf("%s: %w", d.Directory, &registry.Tampered{Changed: []string{f.Name}})
			}
		}
		d.Origin = runtime.Origin{Kind: runtime.OriginSigned, Folder: d.Directory, Sums: s.Sums}
		if d.Directory, d.Content, err = copies.Take(d.Directory, s); err != nil {
			return err
		}
		intact := registry.NewIntact(d.Directory, registry.SumsFile, s.Sums)
		d.Intact = func() error { return intact.Check(context.Background()) }
		for _, key := range s.Signers {
			d.Origin.Signers = append(d.Origin.Signers, key.String())
		}
		return nil
	}
}

// Tidy removes the copies of signed folders below a host's own folder that a set does not need.
func Tidy(dir string, set []runtime.Deployment) error {
	used := func(dir string) bool {
		return slices.ContainsFunc(set, func(d runtime.Deployment) bool { return d.Directory == dir })
	}
	return registry.Copies{Dir: filepath.Join(dir, registry.CopiesFolder)}.Tidy(used)
}

// ErrNoFolder is a manifest that is in no folder of its own, which cannot be signed.
var ErrNoFolder = errors.New("its manifest is in no folder of its own, and only folders are signed")
