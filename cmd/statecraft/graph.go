package main

import (
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// graphVerb draws one machine.
type graphVerb struct {
	Format  string `enum:"dot,mermaid" default:"dot" help:"For Graphviz (dot) or Mermaid (mermaid)."`
	Sketch  bool   `help:"Draw one arrow between two states, and a tag of the state in place of what stays there or comes from more than two states."`
	Focus   string `placeholder:"STATE" help:"Draw this state alone, with those that lead there and those that it leads to."`
	Machine string `arg:"" help:"A manifest, or a directory that holds a machine.yaml."`
}

// graphResult is what graph --json prints.
type graphResult struct {
	Machine string `json:"machine"`
	Version string `json:"version"`
	Format  string `json:"format"` // "dot" or "mermaid"
	Sketch  bool   `json:"sketch"`
	Focus   string `json:"focus,omitempty"` // the state
	Graph   string `json:"graph"`
}

// Run prints the graph.
func (v *graphVerb) Run(inv *invocation) error {
	d, err := inv.oneMachine(v.Machine)
	if err != nil {
		return err
	}
	if err := v.focused(d); err != nil {
		return err
	}
	draw := machine.DOT
	if v.Format == "mermaid" {
		draw = machine.Mermaid
	}
	graph := draw(d, machine.Graph{Sketch: v.Sketch, Focus: v.Focus})
	if inv.json {
		return inv.printJSON(graphResult{
			Machine: d.Manifest.Name, Version: d.Manifest.Version, Format: v.Format, Sketch: v.Sketch, Focus: v.Focus, Graph: graph,
		})
	}
	inv.printf("%s", graph)
	return nil
}

// focused refuses a focus that is no state of the machine.
func (v *graphVerb) focused(d *machine.Definition) error {
	if _, known := d.State(v.Focus); known || v.Focus == "" {
		return nil
	}
	for _, g := range d.Manifest.Groups {
		if g.Name == v.Focus {
			return usage("name one of its states: "+strings.Join(g.States, ", "), "%q is a group of the machine %s", v.Focus, d.Manifest.Name)
		}
	}
	hint := "it has " + strings.Join(d.States(), ", ")
	if near := strict.Nearest(v.Focus, d.States()); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return usage(hint, "the machine %s has no state %q", d.Manifest.Name, v.Focus)
}
