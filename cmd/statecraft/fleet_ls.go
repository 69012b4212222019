package main

// fleetLsVerb lists the nodes of a cell.
type fleetLsVerb struct {
	contextFlags
}

// fleetResult is what fleet ls --json prints.
type fleetResult struct {
	Nodes []nodeResult `json:"nodes"` // by identity
}

// Run prints a line a node.
func (v *fleetLsVerb) Run(inv *invocation) error {
	m, err := v.connect(inv, "fleet_view")
	if err != nil {
		return err
	}
	defer m.close()
	nodes, err := m.nodes()
	if err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(fleetResult{Nodes: nodes})
	}
	if len(nodes) == 0 {
		inv.notef("no node has joined yet; statecraft node run --join TOKEN joins one")
		return nil
	}
	rows := [][]string{{"NODE", "STATE", "CELL", "LAST SEEN", "OWNER"}}
	for _, n := range nodes {
		rows = append(rows, []string{n.Identity, nodeState(n), orDash(n.Cell), instant(n.LastSeen), orDash(n.Owner)})
	}
	inv.table(rows)
	return nil
}

// nodeState is the state with what is special about it.
func nodeState(n nodeResult) string {
	switch {
	case n.State == "":
		return "(unreadable)"
	case n.Replace:
		return n.State + " (may be replaced)"
	default:
		return n.State
	}
}
