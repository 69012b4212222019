package main

// fleetApproveVerb lets another key take over an identity.
type fleetApproveVerb struct {
	contextFlags
	Node string `arg:"" help:"The node's identity."`
}

// Run marks the node's record. Whoever joins with the identity next takes the mark away.
func (v *fleetApproveVerb) Run(inv *invocation) error {
	n, err := v.changeNode(inv, v.Node, "replace", true)
	if err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(n)
	}
	inv.printf("%s may be replaced: the next node that joins with this identity takes it\n", n.Identity)
	return nil
}

// changeNode sets a field of a node's record for a verb.
func (f contextFlags) changeNode(inv *invocation, node, field string, value any) (*changedNode, error) {
	id, err := nodeName(node)
	if err != nil {
		return nil, err
	}
	m, err := f.connect(inv, "admin")
	if err != nil {
		return nil, err
	}
	defer m.close()
	return m.change(id, field, value)
}
