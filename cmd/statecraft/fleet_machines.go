package main

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/statecraft-io/statecraft/watchers/inventory"
)

// fleetMachinesVerb shows who runs which machine.
type fleetMachinesVerb struct {
	contextFlags
	whereFlag
	Nodes   bool   `help:"List the nodes, each with its version and state, in place of counting them; takes a machine."`
	Machine string `arg:"" optional:"" help:"Only the machine of this name."`
}

// machinesResult is what fleet machines --json prints.
type machinesResult struct {
	Machines []machineInUse `json:"machines"` // by name, version, state
	Nodes    []machineNode  `json:"nodes,omitempty"`
	Known    int            `json:"known"`
	Matched  int            `json:"matched"`
	AsOf     time.Time      `json:"as_of"`
	Problems map[string]int `json:"problems,omitempty"`
}

// machineInUse is how many nodes run a version of a machine in a state.
type machineInUse struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"`
	State   string `json:"state,omitempty"`
	Nodes   int    `json:"nodes"`
}

// machineNode is a node that runs the machine.
type machineNode struct {
	Identity string    `json:"identity"`
	Version  string    `json:"version"`
	Digest   string    `json:"digest,omitempty"`
	State    string    `json:"state,omitempty"`
	LastSeen time.Time `json:"last_seen"`
}

// Run prints a line for each version and state, or for each node.
func (v *fleetMachinesVerb) Run(inv *invocation) error {
	if v.Nodes && v.Machine == "" {
		return usage("name one; statecraft fleet machines lists them", "--nodes takes a machine")
	}
	m, err := v.connect(inv, "fleet_view")
	if err != nil {
		return err
	}
	defer m.close()
	q := inventory.Query{Where: v.Where, Machines: "*"}
	if v.Machine != "" {
		q.Machines = v.Machine
	}
	a, err := m.ask(q)
	if err != nil {
		return err
	}
	result := machinesResult{Machines: []machineInUse{}, Known: a.Known, Matched: a.Matched, AsOf: a.AsOf, Problems: a.Problems}
	for _, u := range a.Machines {
		result.Machines = append(result.Machines, machineInUse(u))
	}
	if v.Nodes {
		if result.Nodes, err = m.running(v.Machine, v.Where); err != nil {
			return err
		}
	}
	if inv.json {
		return inv.printJSON(result)
	}
	inv.problems(a)
	inv.machines(result, v)
	return nil
}

// running lists the nodes that run a machine.
func (m *member) running(name, where string) (nodes []machineNode, err error) {
	runs := "machines[" + strconv.Quote(name) + "] != nil"
	if where != "" {
		runs += " && (" + where + "\n)" // a comment at the end of it ends with its line
	}
	a, err := m.ask(inventory.Query{Where: runs, Fields: []string{"machines"}})
	if err != nil {
		return nil, err
	}
	for _, n := range a.Nodes {
		var all map[string]machineNode
		if err := json.Unmarshal(n.Fields["machines"], &all); err != nil {
			return nil, fail(exitFailed, "statecraft fleet inventory "+n.Identity+" prints it", "the inventory of %s has machines that cannot be read: %w", n.Identity, err)
		}
		runs := all[name]
		runs.Identity, runs.LastSeen = n.Identity, n.LastSeen
		nodes = append(nodes, runs)
	}
	return nodes, nil
}

// machines prints a table.
func (inv *invocation) machines(r machinesResult, v *fleetMachinesVerb) {
	switch {
	case r.Known == 0:
		inv.notef("no node has published its inventory yet; a node does when it has joined")
		return
	case len(r.Machines) == 0 && v.Machine != "":
		inv.notef("none of %s ran %s when it told its inventory last, which takes up to 15 s; statecraft fleet machines lists what they run", nodesText(r.Matched), v.Machine)
		return
	case len(r.Machines) == 0:
		inv.notef("none of %s runs a machine", nodesText(r.Matched))
		return
	}
	var rows [][]string
	if v.Nodes {
		rows = append(rows, []string{"NODE", "VERSION", "STATE", "DIGEST", "LAST SEEN"})
		for _, n := range r.Nodes {
			rows = append(rows, []string{n.Identity, orDash(n.Version), orDash(n.State), brief(n.Digest), instant(n.LastSeen)})
		}
	} else {
		rows = append(rows, []string{"MACHINE", "VERSION", "STATE", "DIGEST", "NODES"})
		for _, u := range r.Machines {
			rows = append(rows, []string{u.Name, orDash(u.Version), orDash(u.State), brief(u.Digest), strconv.Itoa(u.Nodes)})
		}
	}
	inv.table(rows)
}
