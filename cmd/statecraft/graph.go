package main

import "github.com/statecraft-io/statecraft/machine"

// graphVerb draws one machine.
type graphVerb struct {
	Format  string `enum:"dot,mermaid" default:"dot" help:"For Graphviz (dot) or Mermaid (mermaid)."`
	Machine string `arg:"" help:"A manifest, or a directory that holds a machine.yaml."`
}

// graphResult is what graph --json prints.
type graphResult struct {
	Machine string `json:"machine"`
	Version string `json:"version"`
	Format  string `json:"format"` // "dot" or "mermaid"
	Graph   string `json:"graph"`
}

// Run prints the graph.
func (v *graphVerb) Run(inv *invocation) error {
	d, err := inv.oneMachine(v.Machine)
	if err != nil {
		return err
	}
	draw := machine.DOT
	if v.Format == "mermaid" {
		draw = machine.Mermaid
	}
	if inv.json {
		return inv.printJSON(graphResult{
			Machine: d.Manifest.Name, Version: d.Manifest.Version, Format: v.Format, Graph: draw(d),
		})
	}
	inv.printf("%s", draw(d))
	return nil
}
