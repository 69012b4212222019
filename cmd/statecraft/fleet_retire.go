package main

// fleetRetireVerb marks a node as retired.
type fleetRetireVerb struct {
	contextFlags
	Node string `arg:"" help:"The node's identity."`
}

// Run marks the node's record. It ends no session and bans no key, which it says.
func (v *fleetRetireVerb) Run(inv *invocation) error {
	n, err := v.changeNode(inv, v.Node, "state", retired)
	if err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(n)
	}
	inv.printf("%s is retired: its token is not renewed\n", n.Identity)
	if n.PublicKey != "" {
		inv.notef("its session lasts until its token ends, and it may ask to join again; to end both: statecraft token revoke --key %s --reason retired", n.PublicKey)
	}
	return nil
}
