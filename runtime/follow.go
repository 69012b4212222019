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
	problems func(diag.List) // told of findings, when they are new
	running  map[string]followed
}

// followed is a manifest as last seen.
type followed struct {
	stamp   string
	machine string // deployed under this name, "" when it never was
}

// NewFollower makes a follower of paths, each of which may be anything that FindMachines understands.
func NewFollower(h *Host, paths []string, problems func(diag.List)) *Follower {
	return &Follower{host: h, paths: paths, problems: problems, running: map[string]followed{}}
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
		stamp := folderStamp(m)
		d, found, err := LoadMachine(m, f.host.cfg.Catalogue)
		all = append(all, found...)
		if err != nil {
			return err
		}
		if d.Definition == nil {
			continue
		}
		ready = append(ready, d)
		f.running[m] = followed{stamp: stamp, machine: d.Definition.Manifest.Name}
	}
	all = append(all, machine.CheckSet(definitions(ready))...).Sort()
	f.problems(all)
	if err := all.Err(); err != nil {
		return err
	}
	for _, d := range ready {
		if err := f.host.Deploy(ctx, d); err != nil {
			return err
		}
	}
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

// Look compares the folders with what runs, and makes it the same.
func (f *Follower) Look(ctx context.Context) {
	manifests, err := FindAll(f.paths)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrNoMachine) {
		f.host.log.Warn("folders_not_readable", "error", err)
		return
	}
	for _, m := range manifests {
		if stamp := folderStamp(m); stamp != f.running[m].stamp {
			f.replace(ctx, m, stamp)
		}
	}
	for m := range maps.Clone(f.running) {
		if !slices.Contains(manifests, m) {
			f.drop(ctx, m)
		}
	}
}

// replace deploys a manifest that is new or has changed.
func (f *Follower) replace(ctx context.Context, manifest, stamp string) {
	was := f.running[manifest]
	f.running[manifest] = followed{stamp: stamp, machine: was.machine}
	d, found, err := LoadMachine(manifest, f.host.cfg.Catalogue)
	f.problems(found)
	if err == nil && d.Definition != nil {
		err = f.conflict(manifest, d.Definition.Manifest.Name)
	}
	if err == nil {
		err = found.Err()
	}
	if err == nil {
		err = f.host.Deploy(ctx, d)
	}
	if err != nil {
		f.host.log.Error("machine_not_replaced", "manifest", manifest, "running", was.machine, "error", err)
		return
	}
	name := d.Definition.Manifest.Name
	f.running[manifest] = followed{stamp: stamp, machine: name}
	f.host.log.Info("machine_deployed", "machine", name, "version", d.Definition.Manifest.Version)
	if was.machine != "" && was.machine != name {
		f.remove(ctx, was.machine)
	}
}

// conflict reports a machine of the same name in another place.
func (f *Follower) conflict(manifest, name string) error {
	for other, r := range f.running {
		if other != manifest && r.machine == name {
			return fmt.Errorf("machine %q is also in %s; give one of them another name", name, other)
		}
	}
	return nil
}

func (f *Follower) drop(ctx context.Context, manifest string) {
	name := f.running[manifest].machine
	delete(f.running, manifest)
	if name != "" {
		f.remove(ctx, name)
	}
}

func (f *Follower) remove(ctx context.Context, name string) {
	if err := f.host.Remove(ctx, name); err != nil {
		f.host.log.Error("machine_not_removed", "machine", name, "error", err)
		return
	}
	f.host.log.Info("machine_removed", "machine", name)
}
