package main

// nodeVerbs run a node and show it.
type nodeVerbs struct {
	Run  nodeRunVerb  `cmd:"" help:"Run the agent of this node."`
	Show nodeShowVerb `cmd:"" help:"Show what this node was assigned."`
}
