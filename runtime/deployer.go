package runtime

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// Deployer runs the machines of payload folders for watchers. A manifest is read once, however many identities run it.
type Deployer struct {
	host     func() *Host
	reserved func(name string) bool

	mu    sync.Mutex
	own   map[string]bool  // the units that Deploy runs, by their names on the host
	turns map[string]*turn // of the units for which something is done at this moment

	reading sync.Mutex
	read    map[machine.Digest]*machine.Definition
}

// maxRead bounds the definitions that are kept for the next identity.
const maxRead = 256

// NewDeployer makes the deployer of a host, which may be made later. No machine of a reserved name is deployed, nor one whose name
// something has that was not deployed here.
func NewDeployer(host func() *Host, reserved func(name string) bool) *Deployer {
	return &Deployer{host: host, reserved: reserved, own: map[string]bool{}, turns: map[string]*turn{}, read: map[machine.Digest]*machine.Definition{}}
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
	h := d.host()
	unit := h.unitOf(o.Identity, o.Name)
	defer d.begin(unit)()
	fail := func(err error) (watchers.Deployed, error) {
		return watchers.Deployed{}, fmt.Errorf("deploying %q: %w", o.Name, err)
	}
	if err := d.claim(h, unit, o.Name); err != nil {
		return fail(err)
	}
	before := h.runs(unit)
	if before != nil && o.Content != "" && before.directory == o.Directory && before.content == o.Content && fits(before.def.Manifest, &o) == nil {
		return before.deployed(false), nil
	}
	deployment, err := d.load(o)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = h.Deploy(ctx, deployment)
	}
	after := h.runs(unit)
	if err != nil || after == nil {
		d.disclaim(h, unit)
		return fail(errors.Join(err, ctx.Err()))
	}
	return after.deployed(before == nil || !before.same(after)), nil
}

// unitOf is what the host calls a machine of an identity.
func (h *Host) unitOf(identity, name string) string {
	return h.whoOf(Deployment{Identity: identity}).scope + name
}

// runs is the program of a unit, nil where there is none.
func (h *Host) runs(name string) *program {
	if u, ok := h.unit(name); ok {
		if p := u.published.Load(); p != nil {
			return p.prog
		}
	}
	return nil
}

func (p *program) deployed(changed bool) watchers.Deployed {
	return watchers.Deployed{Version: p.def.Manifest.Version, Digest: p.def.Manifest.Digest.String(), Changed: changed}
}

// claim takes a name for what is deployed here.
func (d *Deployer) claim(h *Host, unit, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.own[unit] {
		return nil
	}
	_, taken := h.unit(unit)
	if taken || d.reserved(name) || h.offers(unit) {
		return fmt.Errorf("the name is that of a machine that was not deployed from a bundle: %w", watchers.ErrUndeployable)
	}
	d.own[unit] = true
	return nil
}

// offers reports whether a template has the name.
func (h *Host) offers(name string) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.templates[name] != nil
}

// disclaim gives a name back that nothing runs under.
func (d *Deployer) disclaim(h *Host, unit string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, runs := h.unit(unit); !runs {
		delete(d.own, unit)
	}
}

// load reads what is to run and holds it against the order.
func (d *Deployer) load(o watchers.DeployOrder) (Deployment, error) {
	none := Deployment{}
	file := filepath.Join(o.Directory, ManifestName)
	text, err := readText(file)
	if err != nil {
		return none, fmt.Errorf("reading the manifest: %w", err)
	}
	digest := machine.Digest(sha256.Sum256(text))
	if o.Manifest != "" && digest.String() != o.Manifest {
		return none, fmt.Errorf("%s is not as it was signed: its sha256 is %s, %s is wanted", file, digest, o.Manifest)
	}
	def, err := d.definition(digest, file, text)
	if err == nil {
		err = fits(def.Manifest, &o)
	}
	if err != nil {
		return none, err
	}
	content := o.Content
	if content == "" {
		content, err = folderDigest(o.Directory)
	}
	return Deployment{Definition: def, Identity: o.Identity, Directory: o.Directory, Content: content, Intact: o.Intact}, err
}

// definition compiles a manifest, or finds what another identity has had compiled. Of many who ask for the same at once, one compiles.
func (d *Deployer) definition(digest machine.Digest, file string, text []byte) (*machine.Definition, error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	if known := d.read[digest]; known != nil {
		return known, nil
	}
	def, problems := machine.Load(file, text, d.host().cfg.Catalogue)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	if len(d.read) >= maxRead {
		clear(d.read)
	}
	d.read[digest] = def
	return def, nil
}
