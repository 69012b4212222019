package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/runtime/publication"
)

// packedMachine is a folder that is about to be published.
type packedMachine struct {
	bundle     *registry.Bundle
	definition *machine.Definition
}

// entry is what a spec says of it.
func (m *packedMachine) entry() registry.Entry {
	b := m.bundle
	return registry.Entry{
		Name: b.Name, Version: b.Version, Source: publication.Source(b.Digest), Checksum: b.Digest,
		Verify: registry.SumsFile, VerifyChecksum: b.SumsDigest, Size: int64(len(b.Data)),
	}
}

// pack checks the folders as a set, beside the machines that come with the program where they are to run, and packs them.
func (v *publishVerb) pack(inv *invocation) ([]packedMachine, error) {
	var files []string
	for _, path := range v.Paths {
		file := filepath.Join(path, runtime.ManifestName)
		if !isRegular(file) {
			return nil, usage("a machine is published with its folder; statecraft new makes one", "%s is no folder with a %s", path, runtime.ManifestName)
		}
		files = append(files, file)
	}
	present, err := builtin.Definitions(publishedBeside(v.Channel), catalogue())
	if err != nil {
		return nil, err
	}
	t, err := loadTogether(files, present)
	if err != nil {
		return nil, err
	}
	for _, r := range t.Refused { // that a name is taken says more than what does not fit under it
		if err := checkName(v.Channel, r.Name); r.Name != "" && err != nil {
			return nil, err
		}
	}
	definitions := map[string]*machine.Definition{}
	for _, d := range t.Ready {
		definitions[d.Definition.Manifest.File] = d.Definition
	}
	var packed []packedMachine
	for i, path := range v.Paths {
		d := definitions[files[i]]
		if d == nil {
			continue
		}
		if err := checkName(v.Channel, d.Manifest.Name); err != nil {
			return nil, err
		}
		b, err := registry.Pack(path)
		if err != nil {
			return nil, fail(exitInvalid, "", "packing %s: %w", path, err)
		}
		packed = append(packed, packedMachine{bundle: b, definition: d})
	}
	if len(t.Findings) > 0 && !inv.json || t.Findings.HasErrors() {
		if err := inv.printFindings(t.Findings); err != nil {
			return nil, err
		}
	}
	if t.Findings.HasErrors() {
		return nil, fail(exitInvalid, "statecraft explain CODE says more about a finding", "nothing is published: %s", summarise(len(v.Paths), t.Findings))
	}
	return packed, nil
}

// publishedBeside are the machines that come with the program and run beside what a channel publishes.
func publishedBeside(channel string) builtin.Set {
	if channel == registry.OverlayChannel {
		return overlay.BuiltIn()
	}
	return node.BuiltIn()
}

// checkName refuses names that nobody who follows a channel takes: on nodes those of all machines of the program, on hosts those of the few that
// nothing replaces.
func checkName(channel, name string) error {
	name = strings.ToLower(name)
	if channel == registry.OverlayChannel {
		if slices.Contains(overlay.Irreplaceable(), name) {
			return fail(exitInvalid, "give it another name", "%s is the name of a machine of hosts that nothing published replaces", name)
		}
		return nil
	}
	if _, err := manifests.Files.Open("node/" + name + ".yaml"); err == nil {
		return fail(exitInvalid, "give it another name; --channel "+registry.OverlayChannel+" is for machines of hosts",
			"%s is the name of a machine that comes with the program", name)
	}
	return nil
}
