package main

import (
	"slices"

	"github.com/statecraft-io/statecraft/watchers/inventory"
)

// fleetLsVerb lists the nodes of a cell.
type fleetLsVerb struct {
	contextFlags
	whereFlag
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
	known := len(nodes)
	if v.Where != "" {
		if nodes, err = v.chosen(inv, m, nodes); err != nil {
			return err
		}
	}
	if inv.json {
		return inv.printJSON(fleetResult{Nodes: nodes})
	}
	switch {
	case known == 0:
		inv.notef("no node has joined yet; statecraft node run --join FILE joins one")
		return nil
	case len(nodes) == 0:
		inv.notef("it holds for none of %s", nodesText(known))
		return nil
	}
	rows := [][]string{{"NODE", "STATE", "CELL", "RENEWED", "OWNER"}}
	for _, n := range nodes {
		rows = append(rows, []string{n.Identity, nodeState(n), orDash(n.Cell), instant(n.LastSeen), orDash(n.Owner)})
	}
	inv.table(rows)
	for _, n := range nodes {
		switch {
		case n.Approved != "" || len(n.Asked) == 0:
		case n.Asked[0].Key == n.PublicKey:
			inv.notef("%s is %s and has asked to come back, with its own key; statecraft fleet approve %s %s lets it", n.Identity, n.State, n.Identity, n.PublicKey)
		default:
			inv.notef("another key has asked for the identity of %s; statecraft fleet approve %s says which; the same with the key lets it take it", n.Identity, n.Identity)
		}
	}
	return nil
}

// chosen are the nodes whose last inventory the condition holds for, and tells of those that have none.
func (v *fleetLsVerb) chosen(inv *invocation, m *member, nodes []nodeResult) ([]nodeResult, error) {
	a, err := m.ask(inventory.Query{Where: v.Where})
	if err != nil {
		return nil, err
	}
	inv.problems(a)
	if silent := len(nodes) - a.Known; silent > 0 {
		inv.notef("%s of the register has published no inventory and is left out", nodesText(silent))
	}
	matches := make(map[string]bool, len(a.Nodes))
	for _, n := range a.Nodes {
		matches[n.Identity] = true
	}
	return slices.DeleteFunc(nodes, func(n nodeResult) bool { return !matches[n.Identity] }), nil
}

// nodeState is the state with what is special about it.
func nodeState(n nodeResult) string {
	switch {
	case n.State == "":
		return "(unreadable)"
	case n.Revoked && n.Approved == "":
		return n.State + " (revoked)"
	case n.Approved != "":
		return n.State + " (" + n.whose(n.Approved) + " may take it)"
	case len(n.Asked) > 0:
		return n.State + " (" + n.whose(n.Asked[0].Key) + " asks for it)"
	default:
		return n.State
	}
}

// whose names a key that may be the node's own.
func (n nodeResult) whose(key string) string {
	if key == n.PublicKey {
		return "its own key"
	}
	return brief(key)
}
