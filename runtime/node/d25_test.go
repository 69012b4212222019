package node_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// conflicts listens for reports of identities that two claim.
func conflicts(t testing.TB, c *cell) *nats.Subscription {
	t.Helper()
	sub, err := c.operator().SubscribeSync("overlay.event.conflict.>")
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// reported waits for a report and holds it against what it is to name.
func reported(t testing.TB, sub *nats.Subscription, want map[string]any) {
	t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatalf("nothing is reported: %v", err)
	}
	var e struct {
		Type, Source, Subject string
		Data                  map[string]any
	}
	if err := json.Unmarshal(m.Data, &e); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for k := range want {
		got[k] = e.Data[k]
	}
	if diff := cmp.Diff(want, got); diff != "" || e.Type != "io.statecraft.overlay.conflict.v1" || e.Subject != want["identity"] {
		t.Errorf("%s reports %+v: %s", m.Subject, e, diff)
	}
}

// TestD25TwoClaimOneIdentity has a second node with an identity that another key has. It is refused and both keys are reported; with the
// approval of an operator it takes the place.
func TestD25TwoClaimOneIdentity(t *testing.T) {
	c := newCell(t, nil)
	first := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	first.becomes("active")
	reports, nodes := conflicts(t, c), c.bucket("NODES")
	second := newMember(t, "n1.example", t.TempDir(), c.join, impatientNodes(t))
	eventually(t, "the second knows why it waits", func() bool {
		return strings.HasPrefix(second.reason(), "another key has this identity")
	})
	reported(t, reports, map[string]any{
		"kind": "key", "identity": "n1.example", "cell": "test", "holder": first.data("public_key"), "claimant": second.data("public_key"),
	})
	asked := func() string {
		r := record(t, nodes, "n1.example")
		if r["public_key"] != first.data("public_key") || r["state"] != "active" {
			t.Errorf("the register now has %v", r)
		}
		list, _ := r["asked"].([]any)
		if len(list) != 1 {
			return ""
		}
		key, _ := list[0].(map[string]any)["key"].(string)
		return key
	}
	eventually(t, "the register says which key has asked", func() bool { return asked() == second.data("public_key") })
	if s := first.state(); s != "active" {
		t.Errorf("the first is %s", s)
	}
	put(t, nodes, "n1.example", map[string]any{"approved": map[string]any{"key": second.data("public_key")}})
	second.becomes("active")
	r := record(t, nodes, "n1.example")
	if r["public_key"] != second.data("public_key") || r["approved"] != nil || r["asked"] != nil {
		t.Errorf("the register after the replacement: %v", r)
	}
}

// TestD25TwoComeTogether has two nodes of one identity at once, with neither in the register: one takes it.
func TestD25TwoComeTogether(t *testing.T) {
	script := helper(t, "sleep 0.3", "echo '{}'")
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper = script })
	reports := conflicts(t, c)
	both := []*member{newMember(t, "n1.example", t.TempDir(), c.join, nil), newMember(t, "n1.example", t.TempDir(), c.join, nil)}
	active := func(m *member) bool { return m.state() == "active" }
	eventually(t, "one is active", func() bool { return active(both[0]) || active(both[1]) })
	winner, other := both[0], both[1]
	if active(other) {
		winner, other = other, winner
	}
	reported(t, reports, map[string]any{
		"kind": "key", "identity": "n1.example", "holder": winner.data("public_key"), "claimant": other.data("public_key"),
	})
	if active(other) {
		t.Error("the other is active, too")
	}
}

// TestD25ReplacementByTheOldKey loses all that a node had but its key.
func TestD25ReplacementByTheOldKey(t *testing.T) {
	c, dir := newCell(t, nil), t.TempDir()
	m := newMember(t, "n1.example", dir, c.join, nil)
	m.becomes("active")
	key := m.data("public_key")
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	if err := m.store.Forget(); err != nil {
		t.Fatal(err)
	}
	nodes := c.bucket("NODES")
	before := record(t, nodes, "n1.example")
	again := newMember(t, "n1.example", dir, c.join, nil)
	again.becomes("active")
	after := record(t, nodes, "n1.example")
	if again.data("public_key") != key || after["public_key"] != key || after["token_id"] == before["token_id"] || after["first_seen"] != before["first_seen"] {
		t.Errorf("the register had %v and has %v", before, after)
	}
}

// TestD25ClonedDisk runs a copy of a node's disk beside the node. The first to renew has the identity; the other's next renewal is turned
// away and reported.
func TestD25ClonedDisk(t *testing.T) {
	overlays := override(t, t.TempDir(), "overlay/registrar", "lifetime: 24h", "lifetime: 10m")
	// The first token lives for four seconds, so that both renew soon; the next one does not end within the test.
	overlays = override(t, overlays, "overlay/enrollee", "lifetime: 24h", "lifetime: 4s")
	c := newCell(t, func(o *overlay.InitOptions) { o.Machines = overlays })
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	original := newMember(t, "n1.example", dir, c.join, nil)
	original.becomes("active")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	reports := conflicts(t, c)
	clone := newMember(t, "n1.example", copied, c.join, nil)
	reported(t, reports, map[string]any{
		"kind": "copy", "identity": "n1.example", "holder": original.data("public_key"), "claimant": clone.data("public_key"),
	})
	eventually(t, "one is turned away", func() bool { return original.entered("recovering")+clone.entered("recovering") > 0 })
	kept, away := original, clone
	if original.entered("recovering") > 0 {
		kept, away = clone, original
	}
	if !strings.Contains(away.reason(), "copied") {
		t.Errorf("who is turned away has the reason %q", away.reason())
	}
	if kept.entered("recovering") > 0 || kept.state() != "active" {
		t.Errorf("who renewed first is %s", kept.state())
	}
}

// TestD25OwnWrite has a host that does not take a success of the register for one: what it then finds there is its own, and not of
// somebody who was faster.
func TestD25OwnWrite(t *testing.T) {
	doubting := override(t, t.TempDir(), "overlay/enrollee", "success_transition: written\n    on: {exists: overtaken, full: no_room}", "success_transition: overtaken\n    on: {full: no_room}",
		"success_transition: written\n    on: {conflict: overtaken, missing: overtaken}", "success_transition: overtaken")
	c, seen := newCell(t, func(o *overlay.InitOptions) { o.Machines = doubting }), &trail{}
	machines := hurriedNodes(t)
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(c *node.Config) {
		machines(c)
		c.Observe = seen.observe
	})
	m.becomes("active")
	m.reprovision()
	eventually(t, "the node has moved", func() bool { return len(seen.times("activated")) == 2 })
	if n := len(seen.times("introduced")); n != 2 {
		t.Errorf("the node introduced itself %d times, want once for each enrollment", n)
	}
}
