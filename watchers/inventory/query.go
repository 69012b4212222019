package inventory

import (
	"encoding/json"
	"time"
)

// MaxNodes is the most nodes that one Answer lists; what is left is asked for with After.
const MaxNodes = 5000

// Query asks for the nodes of a cell, by what their last inventories say. What cannot be answered is denied as by NATS's services, with a code:
// 400 for a question that cannot be read, 404 for a node that is not known, 413 for one whose answer is too large or takes too long, and 503
// while the view reads its stream or too many ask: ask again.
type Query struct {
	// Node is the identity of the one node that is asked for; "" asks for all of them.
	Node string `json:"node,omitempty" most:"253"`
	// Where is a condition over a node's inventory, in the language of guards; "" holds for every node. It sees identity, last_seen, digest, facts,
	// machines, classes, agents, collectives, status, build_info, get_fact(path) and now(). What an inventory does not have is nil.
	Where string `json:"where,omitempty" most:"65536"`
	// Fields are the paths into the inventory that come along, such as facts.os.name or machines, at most 64; \. is a dot within a name.
	Fields []string `json:"fields,omitempty" most:"4096" each:"1024"`
	// Document asks for the whole inventory of each node.
	Document bool `json:"document,omitempty"`
	// Machines asks for who runs the machine of this name, summed up by version, digest and state; * asks for every machine. No node is listed then.
	Machines string `json:"machines,omitempty" most:"253"`
	// Limit is how many nodes may come, at most MaxNodes; 0 is as many as one answer holds. An answer holds what fits into a message.
	Limit int `json:"limit,omitempty"`
	// After is Next of the answer before.
	After string `json:"after,omitempty" most:"253"`
}

// Answer lists the nodes that a Query is about, by identity.
type Answer struct {
	Nodes    []Node         `json:"nodes,omitempty"`
	Machines []MachineInUse `json:"machines,omitempty"`
	Known    int            `json:"known"`              // nodes of which there is an inventory
	Matched  int            `json:"matched"`            // those of them that Where holds for
	Next     string         `json:"next,omitempty"`     // "" with the last of them
	AsOf     time.Time      `json:"as_of"`              // when the newest inventory came
	Problems map[string]int `json:"problems,omitempty"` // nodes for which Where has no answer, or whose inventory is left out, by reason
}

// Node is one node of an Answer.
type Node struct {
	Identity string                     `json:"identity"`
	LastSeen time.Time                  `json:"last_seen"` // when its last inventory came
	Digest   string                     `json:"digest,omitempty"`
	Fields   map[string]json.RawMessage `json:"fields,omitempty"`   // by path; what the inventory does not have is left out
	Document json.RawMessage            `json:"document,omitempty"` // the inventory as it was published, unpacked
}

// MachineInUse is how many nodes run a version of a machine in a state.
type MachineInUse struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"`
	State   string `json:"state,omitempty"`
	Nodes   int    `json:"nodes"`
}
