package inventory

import (
	"context"
	"fmt"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	outcomeChanged   = "changed"
	outcomeUnchanged = "unchanged"
)

// inventorySpec is the properties of an inventory watcher.
type inventorySpec struct {
	// Agents are the names of the agents that answer on the node.
	Agents []string `yaml:"agents"`
	// Classes are the node's classes or tags.
	Classes []string `yaml:"classes"`
	// ClassesFiles are files with more of them, relative to the machine's directory or absolute: a list where the name ends in .json, .yaml or
	// .yml, else one a line, as Puppet writes classes.txt. A file that is not there has none; one that cannot be read counts as it was last.
	ClassesFiles []string `yaml:"classes_files"`
	// Collectives are those that the node belongs to.
	Collectives []string `yaml:"collectives"`
	// Inline puts the inventory into the document as it is, in place of compressing it.
	Inline bool `yaml:"inline"`
	// FactLimit is how many bytes of JSON one top-level fact may have; larger ones are left out and named.
	FactLimit int `yaml:"fact_limit" default:"32768" min:"64" max:"1048576"`
	// Known is the digest of the inventory that is known already: a look that comes to the same says nothing, and costs next to nothing.
	Known watchers.Text `yaml:"known"`
}

// The codes of what an inventory's properties can have wrong.
const (
	CodeInventoryName diag.Code = "SC450" // a name that cannot be
	CodeInventoryFile diag.Code = "SC451" // a file that is outside of the machine's directory
)

// Validate checks names and files.
func (s *inventorySpec) Validate(w *machine.WatcherSpec) (list diag.List) {
	names := func(key string, all []string) {
		seen := map[string]bool{}
		for i, name := range all {
			switch at := w.Properties.Get(key).Items[i].Pos; {
			case !className(name):
				list.Add(diag.Error, CodeInventoryName, at, "write a name of at most 256 bytes on one line", "%s: %q is no name", key, name)
			case seen[name]:
				list.Add(diag.Error, CodeInventoryName, at, "remove one of them", "%s: %s is there twice", key, name)
			}
			seen[name] = true
		}
	}
	names("agents", s.Agents)
	names("classes", s.Classes)
	names("collectives", s.Collectives)
	for i, path := range s.ClassesFiles {
		if path == "" || machine.EscapesDirectory(path) {
			list.Add(diag.Error, CodeInventoryFile, w.Properties.Get("classes_files").Items[i].Pos,
				"write a path below the machine's directory, or an absolute one", "classes_files: %q leaves the machine's directory", path)
		}
	}
	return list
}

func inventoryType(s Services) watchers.Type {
	payload := map[string]machine.ValueType{"document": machine.String, "digest": machine.String, "size": machine.Integer}
	documents := &archive{build: s.Build}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "inventory",
			Outcomes: []machine.Outcome{
				{Name: outcomeChanged, Class: machine.Success, Payload: payload,
					Doc: "what does not change by itself is new, or other than at the last look"},
				{Name: outcomeUnchanged, Class: machine.Success, Payload: payload,
					Doc: "at most uptime, load and the like are other than at the last look"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "no document could be made"},
			},
		},
		Summary: "Makes the document that says what the node is and what it runs.",
	}, func(spec *inventorySpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher {
			return &surveyor{spec: spec, deployer: s.Deployer, documents: documents}
		}}
	})
}

// surveyor is the watcher of one machine.
type surveyor struct {
	spec      *inventorySpec
	deployer  watchers.Deployer
	documents *archive
	last      string              // digest of the last look
	classes   map[string][]string // of each file, as it was read last
}

// Check makes the document of now.
func (s *surveyor) Check(_ context.Context, look *watchers.Look) watchers.Report {
	known, err := look.Expand(s.spec.Known)
	if err != nil {
		return watchers.Failed(fmt.Errorf("known: %w", err))
	}
	classes, unread := s.allClasses(look)
	d, err := s.documents.document(survey{spec: s.spec, facts: look.Facts, classes: classes, machines: s.machines(look)})
	if err != nil {
		return watchers.Failed(fmt.Errorf("making the inventory: %w", err))
	}
	if known != "" && known == d.digest {
		s.last = d.digest
		return watchers.Report{}
	}
	outcome := outcomeUnchanged
	if d.digest != s.last {
		outcome = outcomeChanged
	}
	s.last = d.digest
	payload := map[string]any{"document": d.text, "digest": d.digest, "size": len(d.text)}
	rep := watchers.Report{Outcome: outcome, Payload: payload, Message: fmt.Sprintf("an inventory of %d bytes", len(d.text))}
	if unread != nil {
		rep.Message += "; with classes as they were: " + unread.Error()
		look.Log.Warn("inventory_classes_not_read", "error", unread)
	}
	if len(d.dropped) > 0 {
		rep.Message += fmt.Sprintf("; without facts that are too large: %v", d.dropped)
		look.Log.Warn("inventory_facts_dropped", "facts", d.dropped, "limit", s.spec.FactLimit)
	}
	return rep
}

// machines are those that run as the identity. The machine that asks is listed without its state, which would make every look a change.
func (s *surveyor) machines(look *watchers.Look) map[string]running {
	if s.deployer == nil {
		return nil
	}
	found := map[string]running{}
	for name, m := range s.deployer.Machines(look.Identity) {
		r := running{Version: m.Version, State: m.State, Digest: m.Digest}
		if name == look.Machine {
			r.State = ""
		}
		found[name] = r
	}
	return found
}
