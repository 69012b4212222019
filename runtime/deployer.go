package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// Deployer runs the machines of payload folders for watchers. A manifest is read once, however many identities run it.
type Deployer struct {
	cfg DeployerConfig

	mu    sync.Mutex
	own   map[string]bool  // the units that Deploy runs, by their names on the host
	turns map[string]*turn // of the units for which something is done at this moment

	reading sync.Mutex
	read    map[reading]*machine.Definition
}

// maxRead bounds the definitions that are kept for the next identity.
const maxRead = 256

// DeployerConfig says what a deployer may do.
type DeployerConfig struct {
	// Host is where the machines run; it may be made after the deployer.
	Host func() *Host
	// Reserved reports whether no machine of a name is deployed. Neither is one whose name something has that was not deployed here.
	Reserved func(name string) bool
	// BuiltIn finds the machine that one of the same name may replace, as it runs again when that is removed. Nil is none.
	BuiltIn func(name string) (Deployment, bool)
	// Input is what all that is deployed reads as input; nil is nothing.
	Input func() (map[string]any, error)
}

// NewDeployer makes the deployer of a host.
func NewDeployer(cfg DeployerConfig) *Deployer {
	return &Deployer{cfg: cfg, own: map[string]bool{}, turns: map[string]*turn{}, read: map[reading]*machine.Definition{}}
}

// builtIn is the machine that comes back when what was deployed under a name is removed.
func (d *Deployer) builtIn(name string) (Deployment, bool) {
	if d.cfg.BuiltIn == nil {
		return Deployment{}, false
	}
	return d.cfg.BuiltIn(name)
}

// owns reports whether a unit runs what was deployed here.
func (d *Deployer) owns(unit string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.own[unit]
}

// turn lets one caller after the other do something about a unit.
type turn struct {
	mu    sync.Mutex
	users int
}

// begin waits for a unit's turn; end ends it.
func (d *Deployer) begin(unit string) (end func()) {
	d.mu.Lock()
	t := d.turns[unit]
	if t == nil {
		t = &turn{}
		d.turns[unit] = t
	}
	t.users++
	d.mu.Unlock()
	t.mu.Lock()
	return func() {
		t.mu.Unlock()
		d.mu.Lock()
		defer d.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(d.turns, unit)
		}
	}
}

// Deploy implements watchers.Deployer. Cancelled, it may have deployed the machine all the same, but never after a Remove that began later.
func (d *Deployer) Deploy(ctx context.Context, o watchers.DeployOrder) (watchers.Deployed, error) {
	h := d.cfg.Host()
	unit := h.unitOf(o.Identity, o.Name)
	defer d.begin(unit)()
	fail := func(err error) (watchers.Deployed, error) {
		return watchers.Deployed{}, fmt.Errorf("deploying %q: %w", o.Name, err)
	}
	builtIn, replaces := d.builtIn(o.Name)
	if err := d.claimable(h, unit, o.Name, replaces); err != nil {
		return fail(err)
	}
	before := h.runs(unit)
	if before != nil && o.Content != "" && before.directory == o.Directory && before.content == o.Content && fits(before.def.Manifest, &o) == nil {
		return before.deployed(false, replaces), nil
	}
	deployment, err := d.load(o)
	if err == nil {
		err = sameKind(deployment, builtIn, replaces)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fail(err)
	}
	owned := d.claim(unit)
	err = h.Deploy(ctx, deployment)
	after := h.runs(unit)
	if err != nil || after == nil {
		if _, taken := h.unit(unit); !owned && ctx.Err() == nil && (!taken || replaces) && (after == nil || after.directory != o.Directory) {
			d.disclaim(unit) // cancelled, it may run all the same
		}
		return fail(errors.Join(err, ctx.Err()))
	}
	return after.deployed(before == nil || !before.same(after), replaces), nil
}

// sameKind refuses a template in place of a machine, and the reverse: whoever starts instances, or speaks to the machine, would find none. Where there is
// none to replace nobody starts a template.
func sameKind(d, builtIn Deployment, replaces bool) error {
	template := func(d Deployment) bool { return d.Definition.Manifest.Kind == machine.KindTemplate }
	switch {
	case !replaces && template(d):
		return fmt.Errorf("its manifest is of a template, which nothing starts: %w", watchers.ErrUndeployable)
	case replaces && template(d) != template(builtIn):
		return fmt.Errorf("of it and the built-in machine that it is to replace one is a template: %w", watchers.ErrUndeployable)
	}
	return nil
}

// Start runs a built-in machine, unless one that was deployed has taken its place.
func (d *Deployer) Start(ctx context.Context, builtIn Deployment) error {
	h := d.cfg.Host()
	unit := h.unitOf(builtIn.Identity, builtIn.Definition.Manifest.Name)
	defer d.begin(unit)()
	if d.owns(unit) {
		return nil
	}
	return h.Deploy(ctx, builtIn)
}

// unitOf is what the host calls a machine of an identity.
func (h *Host) unitOf(identity, name string) string {
	return h.whoOf(Deployment{Identity: identity}).scope + name
}

// runs is the program of a unit or a template, nil where there is none.
func (h *Host) runs(name string) *program {
	if u, ok := h.unit(name); ok {
		if p := u.published.Load(); p != nil {
			return p.prog
		}
	}
	return h.offered(name)
}

func (p *program) deployed(changed, replaces bool) watchers.Deployed {
	return watchers.Deployed{Version: p.def.Manifest.Version, Digest: p.def.Manifest.Digest.String(), Changed: changed, Replaces: replaces}
}

// claimable refuses a name that is not for what is deployed here.
func (d *Deployer) claimable(h *Host, unit, name string, replaces bool) error {
	_, taken := h.unit(unit)
	switch {
	case d.owns(unit):
		return nil
	case d.cfg.Reserved(name) || !replaces && (taken || h.offered(unit) != nil):
		return fmt.Errorf("the name is that of a machine that was not deployed from a bundle: %w", watchers.ErrUndeployable)
	}
	return nil
}

// offered is the program of a template, nil where there is none.
func (h *Host) offered(name string) *program {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if t := h.templates[name]; t != nil {
		return t.prog
	}
	return nil
}

// claim takes a name, and reports whether it was taken before.
func (d *Deployer) claim(unit string) (before bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, d.own[unit] = d.own[unit], true
	return before
}

// disclaim gives a name back.
func (d *Deployer) disclaim(unit string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.own, unit)
}

// load reads what is to run and holds it against the order.
func (d *Deployer) load(o watchers.DeployOrder) (Deployment, error) {
	none := Deployment{}
	text, err := ReadText(filepath.Join(o.Directory, ManifestName))
	if err != nil {
		return none, fmt.Errorf("reading the manifest: %w", err)
	}
	digest := machine.Digest(sha256.Sum256(text.Source))
	if o.Manifest != "" && digest.String() != o.Manifest {
		return none, fmt.Errorf("%s is not as it was signed: its sha256 is %s, %s is wanted", text.File, digest, o.Manifest)
	}
	def, err := d.definition(reading{digest, o.Content}, text)
	if err == nil {
		err = fits(def.Manifest, &o)
	}
	if err == nil && o.Files != nil {
		err = asSigned(def, o.Files)
	}
	if err == nil {
		err = d.together(def, o.Identity)
	}
	content := o.Content
	if err == nil && content == "" {
		content, err = folderDigest(o.Directory)
	}
	if err != nil {
		return none, err
	}
	deployment := Deployment{Definition: def, Identity: o.Identity, Directory: o.Directory, Content: content, Intact: o.Intact, Origin: Origin{Kind: OriginPublished}}
	if d.cfg.Input != nil {
		deployment.Input, err = d.cfg.Input()
	}
	return deployment, err
}

// together holds a machine against those that run as its identity. What was published together comes one after the other, and whoever published it has
// held it against each other: between two of them nothing is refused, and it is logged.
func (d *Deployer) together(def *machine.Definition, identity string) error {
	others, published := d.others(identity, def.Manifest.Name)
	offer := []Offer{{Deployment: Deployment{Definition: def}}}
	if t := Load(offer, others, nil); len(t.Refused) > 0 {
		return t.Refused[0].Err
	}
	if t := Load(offer, published, nil); len(t.Refused) > 0 {
		d.cfg.Host().log.Warn("machines_do_not_fit", "machine", def.Manifest.Name, "identity", identity, "error", t.Refused[0].Err)
	}
	return nil
}

// others are the machines and templates that run as an identity beside one of a name: those that were not deployed here, and those that were.
func (d *Deployer) others(identity, name string) (not, here []*machine.Definition) {
	h := d.cfg.Host()
	scope := h.unitOf(identity, "")
	for unit, p := range h.programsOf(scope) {
		switch {
		case unit == scope+name && d.owns(unit):
		case d.owns(unit):
			here = append(here, p.def)
		default:
			not = append(not, p.def)
		}
	}
	return not, here
}

// programsOf are the machines and templates of a scope, by their names on the host. Instances of templates are left out.
func (h *Host) programsOf(scope string) map[string]*program {
	found := map[string]*program{}
	for _, u := range h.those(scope, "") {
		if p := u.published.Load(); p != nil {
			found[u.name] = p.prog
		}
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for name, t := range h.templates {
		if rest, ours := strings.CutPrefix(name, scope); ours && t.prog != nil && !strings.Contains(rest, "/") {
			found[name] = t.prog
		}
	}
	return found
}

// asSigned holds what was read with a manifest against the digests that were signed.
func asSigned(def *machine.Definition, signed map[string]string) error {
	for _, f := range def.Files() {
		if wanted := signed[filepath.ToSlash(filepath.Clean(f.Name))]; wanted != f.Digest.String() {
			return fmt.Errorf("%s is not as it was signed: its sha256 is %s, %q is wanted", f.Name, f.Digest, wanted)
		}
	}
	return nil
}

// reading tells what was read of a folder: its manifest, and the files beside it.
type reading struct {
	manifest machine.Digest
	content  string
}

// definition compiles a manifest, or finds what another identity has had compiled of the same content. Of many who ask for it at once, one compiles.
func (d *Deployer) definition(r reading, text machine.Text) (*machine.Definition, error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	if known := d.read[r]; known != nil && r.content != "" {
		return known, nil
	}
	def, problems := machine.LoadText(text, d.cfg.Host().cfg.Catalogue)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if len(d.read) >= maxRead {
		clear(d.read)
	}
	d.read[r] = def
	return def, nil
}
