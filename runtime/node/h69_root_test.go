package node_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestH69TheRootKeyWasStolen is the drill of docs/operations.md: a new cell under another name takes the nodes of one whose authority was stolen. A node keeps its name and its
// machines, and believes nothing any more that the old cell's root has signed.
func TestH69TheRootKeyWasStolen(t *testing.T) {
	old := newCell(t, nil)
	s := openShop(t, old)
	machines := override(t, t.TempDir(), "node/enrollment", hurried...)
	override(t, machines, "node/deployer", "timer: 5m, splay: true", "timer: 1s", "interval: 1m\n    splay: 1m\n    timeout: 10s", "interval: 1s\n    timeout: 10s")
	dir := t.TempDir()
	started := func(join string) *member {
		return newMember(t, "web1.example", dir, join, func(c *node.Config) { c.Machines = machines })
	}
	m := started(old.join)
	m.becomes("active")
	s.publish(s.stock(web("1.0.0")))
	m.runs("web", "1.0.0")
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}

	// The new cell. What the node knew the old one by is moved away, and it is started with the new join token.
	anew := newCell(t, func(o *overlay.InitOptions) { o.Cell = "anew" })
	to := openShop(t, anew)
	to.cell = "anew"
	if err := os.Rename(filepath.Join(dir, "identity"), filepath.Join(dir, "identity.before")); err != nil {
		t.Fatal(err)
	}
	m = started(anew.join)
	if _, err := m.agent.Host().Fire(t.Context(), "enrollment", "damaged", nil, "operator"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node has an assignment again", func() bool { _, err := m.store.Active(); return err == nil })
	m.becomes("active")
	if a, err := m.store.Active(); err != nil || a.Cell != "anew" || a.Identity != "web1.example" {
		t.Errorf("the node is %+v, %v", a, err)
	}
	if version := versionOf(m.agent.Host(), "web"); version != "1.0.0" {
		t.Errorf("the machine of the old cell is at %q before the new cell has published anything", version)
	}
	to.publish(to.stock(web("1.1.0")))
	m.runs("web", "1.1.0")

	// The thief has the old root, reaches the node's new cell, and signs what he likes.
	now := time.Now()
	forged, err := (&identity.Signer{Key: s.root}).Sign(identity.Claims{
		Purpose: identity.PurposeAssignment, Subject: "forged", Audience: m.key().String(), Cell: "anew", IssuedAt: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := (&identity.Wallet{Store: m.store}).Verifier()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(forged, identity.Expect{Purposes: []identity.Purpose{identity.PurposeAssignment}, Now: now}); err == nil {
		t.Error("the node believes what the old root has signed")
	}
	spec := to.spec(to.stock(web("6.6.6")))
	to.put("spec.default", to.sign(spec, s.key, s.root))
	eventually(t, "the node refuses what the old keys have signed", func() bool { return m.deployer("reason") == string(registry.Unsigned) })
	if version := versionOf(m.agent.Host(), "web"); version != "1.1.0" {
		t.Errorf("the node runs %q", version)
	}
}

// key is the node's public key.
func (m *member) key() identity.PublicKey {
	m.t.Helper()
	key, err := m.store.Key()
	if err != nil {
		m.t.Fatal(err)
	}
	return key.Public()
}
