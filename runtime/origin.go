package runtime

import (
	"cmp"
	"path/filepath"
	"slices"

	"github.com/statecraft-io/statecraft/registry"
)

// By whose word a machine runs.
const (
	OriginBuiltIn   = "built_in"  // it came with the program
	OriginPublished = "published" // a signed list of the cell names it
	OriginSigned    = "signed"    // its folder is signed by a key that the host was told of
	OriginUnsigned  = "unsigned"  // nobody's: an operator has let it run
)

// Origin is by whose word a machine runs.
type Origin struct {
	Kind    string   `json:"kind"`
	Release string   `json:"release,omitempty"` // of the program, where it is built in
	Channel string   `json:"channel,omitempty"` // of the list that names it
	Serial  uint64   `json:"serial,omitempty"`  // of that list; 0 where the present one does not name it any more
	Signers []string `json:"signers,omitempty"` // public keys in hex
	Folder  string   `json:"folder,omitempty"`  // that was signed and copied, absolute
	Sums    string   `json:"sums,omitempty"`    // sha256 of the SHA256SUMS of that folder, hex
}

func (o Origin) equal(p Origin) bool {
	return o.Kind == p.Kind && o.Release == p.Release && o.Channel == p.Channel && o.Serial == p.Serial && o.Folder == p.Folder && o.Sums == p.Sums && slices.Equal(o.Signers, p.Signers)
}

// Vouch says by whose word the machine of a folder may run: it sets the deployment's Origin and, where the files have to stay as they are, its Intact, with
// Directory and Content of the copy that it runs from. An error is why it may not.
type Vouch func(d *Deployment) error

// Unsigned lets every machine run.
func Unsigned(d *Deployment) error {
	d.Origin = Origin{Kind: OriginUnsigned}
	return nil
}

// Running is a machine or template that a host runs.
type Running struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Digest   string `json:"digest"`             // sha256 of its manifest, hex
	Template bool   `json:"template,omitempty"` // instances are started of it
	// Directory is where it runs: its copy, where a folder was signed.
	Directory string `json:"directory,omitempty"`
	Origin    Origin `json:"origin"`
}

// Runs returns all that runs here and by whose word, by name. Instances of templates are left out: they have begun with what their template was then.
func (h *Host) Runs() []Running {
	var list []Running
	for _, u := range h.all() {
		if p := u.published.Load(); p != nil && u.who.template == "" {
			list = append(list, h.running(u.name, u.who.identity, p.prog))
		}
	}
	h.mu.RLock()
	templates := make(map[string]*program, len(h.templates))
	for name, t := range h.templates {
		templates[name] = t.prog
	}
	h.mu.RUnlock()
	for name, prog := range templates {
		r := h.running(name, h.cfg.Identity, prog)
		r.Template = true
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Running) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// running traces what was published to the list that counts now.
func (h *Host) running(name, identity string, p *program) Running {
	m := p.def.Manifest
	o := p.origin
	if o.Kind == OriginPublished && h.cfg.Published != nil {
		o = h.cfg.Published(identity, m.Name, p.content)
	}
	return Running{Name: name, Version: m.Version, Digest: m.Digest.String(), Directory: p.directory, Origin: o}
}

// tidyCopies removes the copies of signed folders that no machine runs from any more.
func (h *Host) tidyCopies() {
	if h.cfg.StateDir == "" {
		return
	}
	used := map[string]bool{}
	for _, u := range h.all() {
		if p := u.published.Load(); p != nil {
			used[p.prog.directory] = true
		}
	}
	h.mu.RLock()
	for _, t := range h.templates {
		used[t.prog.directory] = true
	}
	h.mu.RUnlock()
	copies := registry.Copies{Dir: filepath.Join(h.cfg.StateDir, registry.CopiesFolder)}
	if err := copies.Tidy(func(dir string) bool { return used[dir] }); err != nil {
		h.log.Warn("copies_not_removed", "error", err)
	}
}
