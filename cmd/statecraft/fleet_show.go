package main

import (
	"maps"
	"slices"
	"strconv"
)

// fleetShowVerb shows a node.
type fleetShowVerb struct {
	contextFlags
	Node string `arg:"" help:"The node's identity."`
}

// Run prints the record.
func (v *fleetShowVerb) Run(inv *invocation) error {
	id, err := nodeName(v.Node)
	if err != nil {
		return err
	}
	m, err := v.connect(inv, "fleet_view")
	if err != nil {
		return err
	}
	defer m.close()
	n, err := m.node(id)
	if err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(n)
	}
	inv.node(n)
	return nil
}

// node prints what is known of a node.
func (inv *invocation) node(n *nodeRecord) {
	rows := [][]string{
		{"node", n.Identity}, {"state", nodeState(n.nodeResult)}, {"cell", orDash(n.Cell)}, {"owner", orDash(n.Owner)},
		{"public key", orDash(n.PublicKey)}, {"first seen", instant(n.FirstSeen)}, {"last seen", instant(n.LastSeen)},
		{"revision", strconv.FormatUint(n.Revision, 10)},
	}
	if n.Approved != "" {
		rows = append(rows, []string{"approved", n.Approved + " may take the identity"})
	}
	for _, a := range n.Asked {
		rows = append(rows, []string{"asked", a.Key + " " + instant(a.At) + " with the join token " + orDash(a.JoinID)})
	}
	value, err := jsonValue(string(n.Record))
	record, ok := value.(map[string]any)
	if err != nil || !ok {
		rows = append(rows, []string{"record", string(n.Record)})
	}
	for _, name := range slices.Sorted(maps.Keys(record)) {
		if !slices.Contains(shownFields(), name) {
			rows = append(rows, []string{name, orDash(claimText(name, record[name]))})
		}
	}
	inv.table(rows)
}

// shownFields are the fields of a record that have a line of their own.
func shownFields() []string {
	return []string{"identity", "state", "cell", "owner", "public_key", "first_seen", "last_seen", "replace", "approved", "asked"}
}
