package main

import (
	"bytes"
	"os"
	"path/filepath"
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

// changes compares two specs, and what is in their bundles where the cell's object store has them. fresh are definitions that are not there yet.
func (s *shelf) changes(old, now *registry.Spec, fresh definitions) ([]specChange, error) {
	all := []specChange{}
	for _, c := range registry.Diff(old, now) {
		change := specChange{Change: c}
		before, err := s.definition(old, c.Name, nil)
		if err != nil {
			return nil, err
		}
		after, err := s.definition(now, c.Name, fresh)
		if err != nil {
			return nil, err
		}
		if before != nil && after != nil {
			change.Manifest, change.Dropped = machine.Compare(before.Manifest, after.Manifest), after.Dropped(before)
		}
		all = append(all, change)
	}
	return all, nil
}

// definition reads the machine of an entry from its bundle; nil where there is none, or it is kept elsewhere.
func (s *shelf) definition(spec *registry.Spec, name string, fresh definitions) (*machine.Definition, error) {
	if d := fresh[name]; d != nil {
		return d, nil
	}
	if spec == nil {
		return nil, nil
	}
	for _, e := range spec.Machines {
		if e.Name == name && e.Source == publication.Source(e.Checksum) {
			return s.unpacked(e)
		}
	}
	return nil, nil
}

func (s *shelf) unpacked(e registry.Entry) (*machine.Definition, error) {
	ctx, cancel := s.patience()
	defer cancel()
	data, err := s.Bundle(ctx, e.Checksum)
	if err != nil {
		return nil, s.problem("reading the bundle of "+e.Name, err)
	}
	dir, err := os.MkdirTemp("", "statecraft-bundle-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	into := filepath.Join(dir, "bundle")
	if err := registry.Unpack(bytes.NewReader(data), int64(len(data)), e.Checksum, into, registry.DefaultLimits()); err != nil {
		return nil, fail(exitRefused, "somebody has changed what is in the object store; publish the machine again", "the bundle of %s: %w", e.Name, err)
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
