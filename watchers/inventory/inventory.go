package inventory

import (
	"context"
	"fmt"

	"github.com/statecraft-io/statecraft/machine"
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
	// Collectives are those that the node belongs to.
	Collectives []string `yaml:"collectives"`
	// Inline puts the inventory into the document as it is, in place of compressing it.
	Inline bool `yaml:"inline"`
	// FactLimit is how many bytes of JSON one top-level fact may have; larger ones are left out and named.
	FactLimit int `yaml:"fact_limit" default:"32768" min:"64" max:"1048576"`
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
	last      string // digest of the last look
}

// Check makes the document of now.
func (s *surveyor) Check(_ context.Context, look *watchers.Look) watchers.Report {
	d, err := s.documents.document(survey{spec: s.spec, facts: look.Facts, machines: s.machines(look)})
	if err != nil {
		return watchers.Failure("making the inventory: " + err.Error())
	}
	outcome := outcomeUnchanged
	if d.digest != s.last {
		outcome = outcomeChanged
	}
	s.last = d.digest
	payload := map[string]any{"document": d.text, "digest": d.digest, "size": len(d.text)}
	rep := watchers.Report{Outcome: outcome, Payload: payload, Message: fmt.Sprintf("an inventory of %d bytes", len(d.text))}
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
