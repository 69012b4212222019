package main

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/statecraft-io/statecraft/watchers/inventory"
)

// fleetInventoryVerb shows what nodes are.
type fleetInventoryVerb struct {
	contextFlags
	whereFlag
	Fields []string `placeholder:"PATH,..." help:"Show these parts of the inventories, such as facts.os.release.full,machines.metadata.version, in place of the usual ones."`
	Node   string   `arg:"" optional:"" help:"Print the whole inventory of this node."`
}

// inventoryResult is what fleet inventory --json prints.
type inventoryResult struct {
	Nodes   []inventoryNode `json:"nodes"` // by identity
	Known   int             `json:"known"`
	Matched int             `json:"matched"`
	AsOf    time.Time       `json:"as_of"`
	// Problems counts the nodes of which it could not be said whether they match, by reason.
	Problems map[string]int `json:"problems,omitempty"`
}

// inventoryNode is one node.
type inventoryNode struct {
	Identity  string         `json:"identity"`
	LastSeen  time.Time      `json:"last_seen"`
	Digest    string         `json:"digest,omitempty"`
	Fields    map[string]any `json:"fields,omitempty"`
	Inventory any            `json:"inventory,omitempty"`
}

// usualFields are shown where none are named.
func usualFields() []string {
	return []string{"facts.os.name", "facts.os.release.full", "status.machines"}
}

// Run prints a line a node, or the inventory of one.
func (v *fleetInventoryVerb) Run(inv *invocation) error {
	q := inventory.Query{Where: v.Where, Fields: v.Fields}
	switch {
	case v.Node != "":
		id, err := nodeName(v.Node)
		if err != nil {
			return err
		}
		if v.Where != "" {
			return usage("leave one of them out", "a node and --where do not go together")
		}
		q.Node, q.Document = string(id), len(v.Fields) == 0
	case len(v.Fields) == 0:
		q.Fields = usualFields()
	}
	m, err := v.connect(inv, "fleet_view")
	if err != nil {
		return err
	}
	defer m.close()
	a, err := m.ask(q)
	if err != nil {
		return err
	}
	switch {
	case inv.json:
		return inv.printJSON(inventoryOf(a))
	case q.Document && len(a.Nodes) > 0:
		return inv.document(a.Nodes[0])
	}
	inv.inventories(a, q.Fields, v.Fields == nil)
	return nil
}

func inventoryOf(a *inventory.Answer) inventoryResult {
	result := inventoryResult{Nodes: []inventoryNode{}, Known: a.Known, Matched: a.Matched, AsOf: a.AsOf, Problems: a.Problems}
	for _, n := range a.Nodes {
		node := inventoryNode{Identity: n.Identity, LastSeen: n.LastSeen, Digest: n.Digest}
		if len(n.Document) > 0 {
			node.Inventory = n.Document
		}
		for path, raw := range n.Fields {
			if node.Fields == nil {
				node.Fields = map[string]any{}
			}
			node.Fields[path] = raw
		}
		result.Nodes = append(result.Nodes, node)
	}
	return result
}

// document prints an inventory as it was published, with line breaks.
func (inv *invocation) document(n inventory.Node) error {
	var text bytes.Buffer
	if err := json.Indent(&text, n.Document, "", "  "); err != nil {
		return fail(exitFailed, "--json prints it as it is", "the inventory of %s is no JSON: %w", n.Identity, err)
	}
	inv.notef("the inventory of %s, of %s", n.Identity, instant(n.LastSeen))
	inv.printf("%s\n", text.Bytes())
	return nil
}

// inventories prints a table.
func (inv *invocation) inventories(a *inventory.Answer, fields []string, usual bool) {
	defer inv.problems(a)
	switch {
	case a.Known == 0:
		inv.notef("no node has published its inventory yet; a node does when it has joined")
		return
	case len(a.Nodes) == 0:
		inv.notef("it holds for none of %s", nodesText(a.Known))
		return
	}
	head := append([]string{"NODE", "LAST SEEN", "DIGEST"}, fields...)
	if usual {
		head = []string{"NODE", "LAST SEEN", "DIGEST", "OS", "RELEASE", "MACHINES"}
	}
	rows := [][]string{head}
	for _, n := range a.Nodes {
		row := []string{n.Identity, instant(n.LastSeen), brief(n.Digest)}
		for _, path := range fields {
			row = append(row, fieldText(n.Fields[path]))
		}
		rows = append(rows, row)
	}
	inv.table(rows)
}
