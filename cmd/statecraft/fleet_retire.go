package main

import (
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// fleetRetireVerb marks a node as retired.
type fleetRetireVerb struct {
	contextFlags
	Node string `arg:"" help:"The node's identity."`
}

// Run asks for it. It ends no session and bans no key, which it says.
func (v *fleetRetireVerb) Run(inv *invocation) error {
	id, err := nodeName(v.Node)
	if err != nil {
		return err
	}
	m, err := v.connect(inv, "fleet_approve")
	if err != nil {
		return err
	}
	defer m.close()
	n, err := m.retire(id)
	if err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(n)
	}
	inv.printf("%s is retired: its token is not renewed\n", n.Identity)
	if n.PublicKey != "" && !n.Revoked {
		inv.notef("its session lasts until its token ends, and it may ask to join again; to end both: statecraft token revoke --key %s --reason retired", n.PublicKey)
	}
	return nil
}

// retire asks the cell to retire a node.
func (m *member) retire(id identity.Identity) (*changedNode, error) {
	var answer struct {
		registerRecord
		Changed bool `json:"changed"`
	}
	err := m.request("retire", map[string]string{"node": id.Token(), "by": m.name}, &answer)
	switch {
	case isDenied(err, messaging.CodeNotFound):
		return nil, unknownNode(id)
	case isDenied(err, messaging.CodeUnfit):
		return nil, fail(exitInvalid, "statecraft fleet show prints it", "the record of %s is no JSON object", id)
	case err != nil:
		return nil, registerError(err)
	}
	return &changedNode{nodeRecord: answer.node(), Changed: answer.Changed}, nil
}
