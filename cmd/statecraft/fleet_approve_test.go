package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestH71FleetApproveNamesTheKey: an approval is for one key, which the verb shows where none is given, and can be taken back. It takes a right of its
// own, and no other opens it.
func TestH71FleetApproveNamesTheKey(t *testing.T) {
	c := newHostedCell(t)
	asked := strings.Repeat("ab", 32)
	fields := nodeFields("n1.example", "active")
	c.record("n1.example", fields)
	as := contextFlags{As: c.client("alice", "fleet_approve")}
	view := contextFlags{As: c.client("viewer", "fleet_view")}

	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example"}, false).wants(t, exitUsage, "no key is given, and none has asked for n1.example")
	fields["asked"] = []any{map[string]any{"key": asked, "at": 1767607200, "join_id": "j1"}}
	c.record("n1.example", fields)
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example"}, false).
		wants(t, exitUsage, asked, "2026-01-05", "j1", "no key is given: 1 key asked for n1.example", "statecraft fleet approve n1.example "+asked)
	answer(t, &fleetLsVerb{contextFlags: view}, false).wants(t, exitOK, "active ("+asked[:12]+" asks for it)", "statecraft fleet approve n1.example")
	answer(t, &fleetShowVerb{contextFlags: view, Node: "n1.example"}, false).wants(t, exitOK, "asked", asked)

	var n changedNode
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Key: asked}, true).decode(t, &n)
	if !n.Changed || !n.Replace || n.Approved != asked || n.State != "active" || !strings.Contains(string(n.Record), `"by": "alice"`) {
		t.Errorf("approved: %+v %s", n, n.Record)
	}
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Key: asked}, true).decode(t, &n)
	if n.Changed {
		t.Errorf("approved a second time: %+v", n)
	}
	answer(t, &fleetLsVerb{contextFlags: view}, false).wants(t, exitOK, "active ("+asked[:12]+" may take it)")
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Key: strings.Repeat("cd", 32)}, false).
		wants(t, exitFailed, "another key is approved for n1.example: "+asked+"; statecraft fleet approve n1.example --withdraw takes that back")

	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Key: strings.Repeat("cd", 32), Withdraw: true}, false).
		wants(t, exitFailed, "another key is approved for n1.example: "+asked)
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Withdraw: true}, false).wants(t, exitOK, "withdrawn: no other key may take n1.example")
	var shown nodeRecord
	answer(t, &fleetShowVerb{contextFlags: view, Node: "n1.example"}, true).decode(t, &shown)
	if shown.Approved != "" || shown.Asked != nil || shown.State != "active" {
		t.Errorf("withdrawn: %+v", shown)
	}
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Withdraw: true}, false).wants(t, exitOK, "there is nothing to withdraw")

	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n4", Key: asked}, false).wants(t, exitFailed, "the register knows no node n4")
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Key: otherKey}, false).wants(t, exitFailed, "has the identity n1.example already")
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Key: "abc"}, false).wants(t, exitUsage, "a public key has 64 hexadecimal digits")
	for _, right := range []string{"fleet_view", "fleet_operate", "token_revoke", "registry_publish"} {
		answer(t, &fleetApproveVerb{contextFlags: contextFlags{As: c.client(right, right)}, Node: "n1.example", Key: asked}, false).
			wants(t, exitRefused, "--right fleet_approve")
	}
}

// TestH71KeysOfTheCellAreApprovedForNoNode: whoever has the root key or a host's is somebody else already.
func TestH71KeysOfTheCellAreApprovedForNoNode(t *testing.T) {
	c := newHostedCell(t)
	c.record("n1.example", nodeFields("n1.example", "active"))
	as := contextFlags{As: c.client("alice", "fleet_approve")}
	root, err := identity.LoadKey(filepath.Join(c.dir, "authority", "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	answer(t, &fleetApproveVerb{contextFlags: as, Node: "n1.example", Key: strings.ToUpper(root.Public().String())}, false).
		wants(t, exitFailed, "is a root key of the cell, and no node's")
	cells, err := c.streams().KeyValue(t.Context(), "CELLS")
	if err != nil {
		t.Fatal(err)
	}
	var host struct{ Keys map[string]string }
	until(t, func() bool {
		entry, err := cells.Get(t.Context(), "host.overlay1")
		return err == nil && json.Unmarshal(entry.Value(), &host) == nil && len(host.Keys) > 0
	})
	for name, key := range host.Keys { // each for a node of its own: one question after another for one node may find the first at work still
		c.record(identity.Identity(name+".example"), nodeFields(name+".example", "active"))
		answer(t, &fleetApproveVerb{contextFlags: as, Node: name + ".example", Key: key}, false).wants(t, exitFailed, "the key "+key+" is one of the host overlay1")
	}
}
