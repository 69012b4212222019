package main

// nodeVerbs run nodes.
type nodeVerbs struct {
	Run nodeRunVerb `cmd:"" help:"Run the agent of this node."`
}
