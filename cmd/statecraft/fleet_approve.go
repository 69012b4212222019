package main

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// fleetApproveVerb lets another key take over an identity.
type fleetApproveVerb struct {
	contextFlags
	Node     string `arg:"" help:"The node's identity."`
	Key      string `arg:"" optional:"" help:"The public key, 64 hexadecimal digits, that may take it: statecraft node show on the new machine prints it. Without a key the verb says which have asked."`
	Withdraw bool   `help:"Take the approval back, and forget who has asked."`
}

// Run asks for it. Whoever joins with the identity and the key takes the approval away.
func (v *fleetApproveVerb) Run(inv *invocation) error {
	id, err := nodeName(v.Node)
	if err != nil {
		return err
	}
	if v.Key != "" {
		if _, err := identity.ParsePublicKey(v.Key); err != nil {
			return usage("statecraft node show on the new machine prints it", "the key: %w", err)
		}
	}
	m, err := v.connect(inv, "fleet_approve")
	if err != nil {
		return err
	}
	defer m.close()
	n, err := m.approve(id, strings.ToLower(v.Key), v.Withdraw)
	if err != nil {
		return err
	}
	if v.Key == "" && !v.Withdraw {
		return inv.whoAsks(n)
	}
	switch {
	case inv.json:
		return inv.printJSON(n)
	case !v.Withdraw:
		inv.printf("%s may be taken by %s, once; --withdraw takes that back\n", n.Identity, n.Approved)
		if !slices.ContainsFunc(n.Asked, func(a askedKey) bool { return a.Key == n.Approved }) {
			inv.notef("this key has not asked for %s yet: is it what statecraft node show prints on the new machine?", n.Identity)
		}
		inv.notef("a node that was turned away comes again within two minutes; statecraft fire enrollment try_again --state DIR on it is at once")
	case n.Changed:
		inv.printf("withdrawn: no other key may take %s\n", n.Identity)
	default:
		inv.printf("there is nothing to withdraw: no key has asked for %s, and none is approved\n", n.Identity)
	}
	return nil
}

// whoAsks says which keys have asked for an identity. It is the end of an approval that names none.
func (inv *invocation) whoAsks(n *changedNode) error {
	if len(n.Asked) == 0 {
		return usage("statecraft node show on the new machine prints its key", "no key is given, and none has asked for %s", n.Identity)
	}
	rows := [][]string{{"KEY", "ASKED", "JOIN TOKEN"}}
	for _, a := range n.Asked {
		rows = append(rows, []string{a.Key, instant(a.At), orDash(a.JoinID)})
	}
	if inv.json {
		if err := inv.printJSON(n); err != nil {
			return err
		}
	} else {
		inv.table(rows)
	}
	return usage("compare it with what statecraft node show prints on the new machine: statecraft fleet approve "+n.Identity+" "+n.Asked[0].Key,
		"no key is given: %s asked for %s", counted(len(n.Asked), "key"), n.Identity)
}

// approve asks the cell's service. Without a key it changes nothing, unless an approval is withdrawn.
func (m *member) approve(id identity.Identity, key string, withdraw bool) (*changedNode, error) {
	var answer struct {
		Changed  bool            `json:"changed"`
		Revision uint64          `json:"revision"`
		Record   json.RawMessage `json:"record"`
	}
	question := map[string]any{"node": id.Token(), "key": key, "withdraw": withdraw, "by": m.name}
	if err := m.request("approve", question, &answer); err != nil {
		if isDenied(err, messaging.CodeNotFound) {
			return nil, hinted(err, "statecraft fleet ls lists the nodes that it knows")
		}
		return nil, err
	}
	return &changedNode{nodeRecord: registerRecord{Key: id.Token(), Revision: answer.Revision, Record: answer.Record}.node(), Changed: answer.Changed}, nil
}
