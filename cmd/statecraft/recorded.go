package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime"
)

// recorded is what the state folder of a host that is not running says of its machines.
type recorded struct {
	dir         string
	last        map[string]machine.Snapshot    // by machine
	definitions map[string]*machine.Definition // by digest, nil where the manifest was not kept
}

// readRecorded reads a state folder. noHost is the error where nothing was recorded either.
func readRecorded(ctx context.Context, dir string, noHost error) (*recorded, error) {
	last, err := runtime.ReadSnapshots(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noHost
	}
	if err != nil {
		return nil, fail(exitFailed, "check who may read the state folder and whether it is a host's", "reading the state folder %s: %w", dir, err)
	}
	return &recorded{dir: dir, last: last, definitions: map[string]*machine.Definition{}}, nil
}

// states are the machines by name.
func (r *recorded) states() []runtime.MachineStatus {
	list := []runtime.MachineStatus{}
	for _, name := range slices.Sorted(maps.Keys(r.last)) {
		list = append(list, r.status(name))
	}
	return list
}

func (r *recorded) status(name string) runtime.MachineStatus {
	s := r.last[name]
	m := runtime.MachineStatus{Name: name, State: s.State, Since: s.Entered, Seq: s.Seq, Epoch: s.Epoch, Durable: true}
	if d := r.definition(s.Digest); d != nil {
		spec, _ := d.State(s.State)
		m.Version, m.Final = d.Manifest.Version, string(spec.Final)
	}
	return m
}

// state is one machine.
func (r *recorded) state(name string) (runtime.MachineDetail, error) {
	s, ok := r.last[name]
	if !ok {
		return runtime.MachineDetail{}, r.unknown(name)
	}
	return runtime.MachineDetail{MachineStatus: r.status(name), Digest: s.Digest, Data: machine.ConcealSealed(s.Data)}, nil
}

// definition is the manifest with a digest, as the host kept it; nil where there is none that this release can load.
func (r *recorded) definition(digest string) *machine.Definition {
	d, looked := r.definitions[digest]
	if !looked {
		d = keptDefinition(r.dir, digest)
		r.definitions[digest] = d
	}
	return d
}

func keptDefinition(dir, digest string) *machine.Definition {
	text, err := runtime.ReadManifest(dir, digest)
	if err != nil {
		return nil
	}
	d, _ := machine.Load(digest+".yaml", text, catalogue())
	return d
}

// unknown is the error for a machine of which nothing is recorded.
func (r *recorded) unknown(name string) error {
	hint := "statecraft states lists the machines; one with 'durable: false' leaves no records"
	if near := strict.Nearest(name, slices.Sorted(maps.Keys(r.last))); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return fail(exitFailed, hint, "nothing is recorded of a machine %q", name)
}
