package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
)

// followInterval is the time between looks at the folders.
const followInterval = 2 * time.Second

// Follower deploys the machines of some folders and keeps them as the folders are: a changed machine is replaced when it has
// passed the checks, a new one started, one that is gone removed. A broken edit leaves the running version running.
type Follower struct {
	host     *Host
	paths    []string
	vouch    Vouch
	problems func(diag.List) // told of findings, when they are new
	running  map[string]followed
	told     map[diag.Diagnostic]bool // by the look before
}

// followed is a manifest as last seen.
type followed struct {
	stamp   string
	beside  []string            // the files that are read with it
	machine string              // deployed under this name, "" when it never was
	runs    *machine.Definition // what was deployed
	waits   bool                // it was refused for what other machines are, and may fit when they change
	refused string              // why it was refused when it was tried last, "" where it was not
}

// NewFollower makes a follower of paths, each of which may be anything that FindMachines understands. vouch says which may run, each time that they
// are read.
func NewFollower(h *Host, paths []string, vouch Vouch, problems func(diag.List)) *Follower {
	return &Follower{host: h, paths: paths, vouch: vouch, problems: problems, running: map[string]followed{}}
}

// Start deploys everything once. Any error refuses the whole: nothing half-loads.
func (f *Follower) Start(ctx context.Context) error {
	manifests, err := FindAll(f.paths)
	if err != nil {
		return err
	}
	var offers []Offer
	roots := map[string]string{}
	for _, m := range manifests {
		roots[m] = folderStamp(m)
		o, err := OfferFolder(m, f.vouch)
		if err != nil {
			return err
		}
		offers = append(offers, o)
	}
	t := Load(offers, nil, f.host.cfg.Catalogue)
	f.problems(t.Findings)
	if err := t.Err(); err != nil {
		return err
	}
	for _, o := range offers {
		f.running[o.Text.File] = followed{stamp: roots[o.Text.File] + o.beside.stamp, beside: o.beside.names}
	}
	f.host.keepManifest(definitions(t.Ready)...)
	for _, d := range t.Ready {
		if err := f.host.Deploy(ctx, d); err != nil {
			return err
		}
		r := f.running[d.Definition.Manifest.File]
		r.machine, r.runs = d.Definition.Manifest.Name, d.Definition
		f.running[d.Definition.Manifest.File] = r
	}
	f.host.tidyCopies()
	return nil
}

func definitions(ds []Deployment) []*machine.Definition {
	var defs []*machine.Definition
	for _, d := range ds {
		defs = append(defs, d.Definition)
	}
	return defs
}

// Run looks at the folders until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	ticker := time.NewTicker(followInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.Look(ctx)
		}
	}
}

// Look compares the folders with what runs, and makes it the same. What has changed is taken together, so that a manifest may be
// moved and two may exchange their names.
func (f *Follower) Look(ctx context.Context) {
	manifests, err := FindAll(f.paths)
	if err != nil && !absent(err) {
		f.host.log.Warn("folders_not_readable", "error", err)
		return
	}
	before := f.machines()
	ready := f.load(f.changed(manifests))
	f.host.keepManifest(changedDefinitions(ready)...)
	names := f.machines()
	for _, c := range ready {
		f.replace(ctx, c, names)
	}
	removed := false
	for name := range before {
		if names[name] == "" {
			f.remove(ctx, name)
			removed = true
		}
	}
	if len(ready) > 0 {
		f.host.tidyManifests()
	}
	if len(ready) > 0 || removed {
		f.host.tidyCopies()
	}
}

// absent reports whether all that is wrong with the paths is that there is no machine.
func absent(err error) bool {
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) {
		return !slices.ContainsFunc(list.Unwrap(), func(e error) bool { return !absent(e) })
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoMachine)
}

// machines returns the names under which machines have been deployed, with the manifests of which they are.
func (f *Follower) machines() map[string]string {
	names := map[string]string{}
	for m, r := range f.running {
		if r.machine != "" {
			names[r.machine] = m
		}
	}
	return names
}

// changed forgets the manifests that are gone and returns those that are new or have changed, with the stamps of their folders. When there is any
// change, those that wait for others are tried again.
func (f *Follower) changed(manifests []string) map[string]string {
	stamps := map[string]string{}
	known := len(f.running)
	maps.DeleteFunc(f.running, func(m string, _ followed) bool {
		_, there := slices.BinarySearch(manifests, m)
		return !there
	})
	for _, m := range manifests {
		r := f.running[m]
		if stamp := folderStamp(m); stamp+besideStamp(m, r.beside) != r.stamp {
			stamps[m] = stamp
		}
	}
	if len(stamps) == 0 && len(f.running) == known {
		return nil
	}
	for m, r := range f.running {
		if _, changed := stamps[m]; r.waits && !changed {
			stamps[m] = folderStamp(m)
		}
	}
	return stamps
}

// change is a manifest that is to be deployed.
type change struct {
	manifest   string
	was        string // the machine that it was deployed as, "" for none
	deployment Deployment
}

func changedDefinitions(changes []change) []*machine.Definition {
	var defs []*machine.Definition
	for _, c := range changes {
		defs = append(defs, c.deployment.Definition)
	}
	return defs
}

// load reads what has changed, holds it against what runs, and has it give its name up. What cannot run leaves what runs.
func (f *Follower) load(stamps map[string]string) []change {
	if len(stamps) == 0 {
		return nil
	}
	var offers []Offer
	was := map[string]string{}
	for _, m := range slices.Sorted(maps.Keys(stamps)) {
		r := f.running[m]
		o, err := OfferFolder(m, f.vouch)
		o.Replaces, was[m] = r.runs, r.machine
		if r.waits = false; err != nil {
			r.stamp = stamps[m] + besideStamp(m, r.beside)
			f.running[m] = r
			f.refuse(m, err)
			continue
		}
		f.running[m] = r
		offers = append(offers, o)
	}
	var running []*machine.Definition
	for _, m := range slices.Sorted(maps.Keys(f.running)) {
		if r := f.running[m]; r.machine != "" {
			running = append(running, r.runs)
		}
	}
	t := Load(offers, running, f.host.cfg.Catalogue)
	f.tell(t.Findings)
	for _, o := range offers {
		r := f.running[o.Text.File]
		r.stamp, r.beside = stamps[o.Text.File]+o.beside.stamp, o.beside.names
		f.running[o.Text.File] = r
	}
	for _, refused := range t.Refused {
		r := f.running[refused.File]
		r.waits = refused.Between
		f.running[refused.File] = r
		f.refuse(refused.File, refused.Err)
	}
	var ready []change
	for _, d := range t.Ready {
		m := d.Definition.Manifest.File
		r := f.running[m]
		r.machine, r.refused = "", "" // gives its name up, for another one or the same
		f.running[m] = r
		ready = append(ready, change{manifest: m, was: was[m], deployment: d})
	}
	return ready
}

// tell reports findings that the look before did not have.
func (f *Follower) tell(found diag.List) {
	told := map[diag.Diagnostic]bool{}
	var fresh diag.List
	for _, d := range found {
		if told[d] = true; !f.told[d] {
			fresh = append(fresh, d)
		}
	}
	f.told = told
	f.problems(fresh)
}

// refuse notes and logs why a manifest does not run, once for each reason.
func (f *Follower) refuse(manifest string, err error) {
	r := f.running[manifest]
	if r.refused != err.Error() {
		f.host.log.Error("machine_not_replaced", "manifest", manifest, "running", r.machine, "error", err)
	}
	r.refused = err.Error()
	f.running[manifest] = r
}

// replace deploys a manifest that is new or has changed, unless its name is taken. names are those of machines that are deployed.
func (f *Follower) replace(ctx context.Context, c change, names map[string]string) {
	r := f.running[c.manifest]
	name := c.deployment.Definition.Manifest.Name
	err := conflict(names, c.manifest, name)
	r.waits = err != nil
	if err == nil {
		err = f.host.Deploy(ctx, c.deployment)
	}
	if err == nil {
		r.machine, r.runs = name, c.deployment.Definition
		f.host.log.Info("machine_deployed", "machine", name, "version", c.deployment.Definition.Manifest.Version)
	} else if conflict(names, c.manifest, c.was) == nil {
		r.machine = c.was // goes on as it was
	}
	if r.machine != "" {
		names[r.machine] = c.manifest
	}
	f.running[c.manifest] = r
	if err != nil {
		f.refuse(c.manifest, err)
	}
}

// conflict reports a machine of the same name in another place.
func conflict(names map[string]string, manifest, name string) error {
	if other := names[name]; other != "" && other != manifest {
		return fmt.Errorf("machine %q is also in %s; give one of them another name", name, other)
	}
	return nil
}

func (f *Follower) remove(ctx context.Context, name string) {
	if err := f.host.Remove(ctx, name); err != nil {
		f.host.log.Error("machine_not_removed", "machine", name, "error", err)
		return
	}
	f.host.log.Info("machine_removed", "machine", name)
}
