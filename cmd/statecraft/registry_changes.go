package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/publication"
)

// specChange is what a publication changes of one machine.
type specChange struct {
	registry.Change
	Manifest []machine.Edit `json:"manifest,omitempty"` // what changes inside, where both versions can be read
	Dropped  []string       `json:"dropped,omitempty"`  // states of the version before in which a machine could not go on
}

// definitions finds the definition of a machine about to be published.
type definitions map[string]*machine.Definition

// changes compares two specs, and what is in their bundles where both can be read from the cell's object store. fresh are definitions
// that are not there yet. A bundle that is lost or spoiled costs the comparison of its machine, which inv is told of.
func (s *shelf) changes(inv *invocation, old, now *registry.Spec, fresh definitions) []specChange {
	all := []specChange{}
	for _, c := range registry.Diff(old, now) {
		change := specChange{Change: c}
		before, after := s.definition(inv, old, now, c.Name, nil), s.definition(inv, now, old, c.Name, fresh)
		if before != nil && after != nil {
			change.Manifest, change.Dropped = machine.Compare(before.Manifest, after.Manifest), after.Dropped(before)
		}
		all = append(all, change)
	}
	return all
}

// definition reads the machine of a spec's entry from its bundle, to compare it with the other spec's; nil where one of them has none, or
// it cannot be read, or is kept elsewhere.
func (s *shelf) definition(inv *invocation, spec, other *registry.Spec, name string, fresh definitions) *machine.Definition {
	if d := fresh[name]; d != nil {
		return d
	}
	e, ok := entryOf(spec, name)
	if _, both := entryOf(other, name); !ok || !both || e.Source != publication.Source(e.Checksum) {
		return nil
	}
	d, err := s.unpacked(e)
	if err != nil {
		inv.notef("the bundle of %s cannot be read, so that states which it knows are not compared: %v", labelled(e), err)
		return nil
	}
	return d
}

func entryOf(spec *registry.Spec, name string) (registry.Entry, bool) {
	if spec == nil {
		return registry.Entry{}, false
	}
	i := slices.IndexFunc(spec.Machines, func(e registry.Entry) bool { return e.Name == name })
	if i < 0 {
		return registry.Entry{}, false
	}
	return spec.Machines[i], true
}

func (s *shelf) unpacked(e registry.Entry) (*machine.Definition, error) {
	ctx, cancel := s.patience()
	defer cancel()
	data, err := s.Bundle(ctx, e.Checksum)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "statecraft-bundle-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	into := filepath.Join(dir, "bundle")
	if err := registry.Unpack(bytes.NewReader(data), int64(len(data)), e.Checksum, into, registry.DefaultLimits()); err != nil {
		return nil, err
	}
	d, _, err := loadManifest(filepath.Join(into, e.Name, runtime.ManifestName))
	return d, err
}

// changes prints what a publication changes.
func (inv *invocation) changes(all []specChange) {
	if len(all) == 0 {
		inv.printf("nothing changes\n")
	}
	for _, c := range all {
		inv.printf("%s\n", c.Change)
		for _, e := range c.Manifest {
			inv.printf("    %s\n", e)
		}
		if len(c.Dropped) > 0 {
			inv.printf("    ! a machine in %s starts again from its initial state\n", strings.Join(c.Dropped, " or "))
		}
	}
}
