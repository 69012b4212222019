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
}

// followed is a manifest as last seen.
type followed struct {
	stamp   string
	beside  []string // the files that are read with it
	machine string   // deployed under this name, "" when it never was
	taken   bool     // it was refused because its name was taken
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
	var all diag.List
	var ready []Deployment
	for _, m := range manifests {
		d, stamp, found, err := f.read(m)
		all = append(all, found...)
		if err != nil {
			return err
		}
		if d.Definition == nil {
			continue
		}
		if err := f.vouch(&d); err != nil {
			return err
		}
		ready = append(ready, d)
		f.running[m] = followed{stamp: stamp, beside: d.beside, machine: d.Definition.Manifest.Name}
	}
	all = append(all, machine.CheckSet(definitions(ready))...).Sort()
	f.problems(all)
	if err := all.Err(); err != nil {
		return err
	}
	f.host.keepManifest(definitions(ready)...)
	for _, d := range ready {
		if err := f.host.Deploy(ctx, d); err != nil {
			return err
		}
	}
	f.host.tidyCopies()
	return nil
}

// read loads a manifest, and returns the stamp of what it read, as of before it was read.
func (f *Follower) read(manifest string) (d Deployment, stamp string, found diag.List, err error) {
	beside := f.running[manifest].beside
	for range 3 { // once more where other files are read with it now
		stamp = folderStamp(manifest, beside)
		d, found, err = LoadMachine(manifest, f.host.cfg.Catalogue)
		if slices.Equal(beside, d.beside) {
			break
		}
		beside = d.beside
	}
	return d, stamp, found, err
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
	changed := f.changed(manifests)
	ready := f.load(changed)
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

// changed forgets the manifests that are gone and returns those that are new or have changed, with their stamps. When there is any
// change, those whose name was taken are tried again.
func (f *Follower) changed(manifests []string) map[string]string {
	stamps := map[string]string{}
	known := len(f.running)
	maps.DeleteFunc(f.running, func(m string, _ followed) bool {
		_, there := slices.BinarySearch(manifests, m)
		return !there
	})
	for _, m := range manifests {
		if stamp := folderStamp(m, f.running[m].beside); stamp != f.running[m].stamp {
			stamps[m] = stamp
		}
	}
	if len(stamps) == 0 && len(f.running) == known {
		return nil
	}
	for m, r := range f.running {
		if _, changed := stamps[m]; r.taken && !changed {
			stamps[m] = r.stamp
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

// load reads what has changed and notes the names that it is to have. What cannot run leaves what runs.
func (f *Follower) load(stamps map[string]string) []change {
	var ready []change
	for _, m := range slices.Sorted(maps.Keys(stamps)) {
		was := f.running[m].machine
		d, stamp, found, err := f.read(m)
		f.running[m] = followed{stamp: stamp, beside: d.beside, machine: was}
		f.problems(found)
		if err == nil {
			err = found.Err()
		}
		if err == nil {
			err = f.vouch(&d)
		}
		if err != nil {
			f.refused(m, was, err)
			continue
		}
		ready = append(ready, change{manifest: m, was: was, deployment: d})
	}
	for _, c := range ready {
		r := f.running[c.manifest]
		r.machine = "" // gives its name up, for another one or the same
		f.running[c.manifest] = r
	}
	return ready
}

func (f *Follower) refused(manifest, running string, err error) {
	f.host.log.Error("machine_not_replaced", "manifest", manifest, "running", running, "error", err)
}

// replace deploys a manifest that is new or has changed, unless its name is taken. names are those of machines that are deployed.
func (f *Follower) replace(ctx context.Context, c change, names map[string]string) {
	r := f.running[c.manifest]
	name := c.deployment.Definition.Manifest.Name
	err := conflict(names, c.manifest, name)
	r.taken = err != nil
	if err == nil {
		err = f.host.Deploy(ctx, c.deployment)
	}
	if err == nil {
		r.machine = name
		f.host.log.Info("machine_deployed", "machine", name, "version", c.deployment.Definition.Manifest.Version)
	} else {
		if conflict(names, c.manifest, c.was) == nil {
			r.machine = c.was // goes on as it was
		}
		f.refused(c.manifest, r.machine, err)
	}
	if r.machine != "" {
		names[r.machine] = c.manifest
	}
	f.running[c.manifest] = r
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
