package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestH69AllKeysAreReplacedWhileANodeWorks replaces all that can be replaced of a cell, step by step as docs/operations.md says, together with the keys that sign
// roots and lists. A node that joined before has its place at each step, and takes machines at the end.
func TestH69AllKeysAreReplacedWhileANodeWorks(t *testing.T) {
	d := &drill{cell: newCell(t, nil)}
	s := openShop(t, d.cell)
	machines := override(t, t.TempDir(), "node/enrollment", hurried...)
	override(t, machines, "node/deployer", "timer: 5m, splay: true", "timer: 1s", "interval: 1m\n    splay: 1m\n    timeout: 10s", "interval: 1s\n    timeout: 10s")
	d.honest = newMember(t, "honest.example", t.TempDir(), d.join, func(c *node.Config) { c.Machines = machines })
	d.honest.becomes("active")
	s.publish(s.stock(web("1.0.0")))
	d.honest.runs("web", "1.0.0")
	before, ca := d.honest.token(), d.honest.ca()
	stolen := d.thief(d.signer("authority", "client"), identity.Claims{Purpose: identity.PurposeClient, Subject: "alice", Permissions: map[string]bool{"admin": true}})

	// 1. Everything is made anew, and the host started with it.
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: d.dir, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Revoke) != 4 || len(r.OldKeys) != 2 {
		t.Errorf("%d certificates and %d keys are to be revoked, not 4 and 2: %+v", len(r.Revoke), len(r.OldKeys), r)
	}
	d.run()
	eventually(t, "the node is back", func() bool {
		conn, err := d.honest.agent.Pool().Conn(d.honest.id, "fleet")
		return err == nil && conn.IsConnected()
	})
	d.works(t, "all keys were replaced")
	late := newMember(t, "late.example", t.TempDir(), d.join, nil) // by the join token before, which the thief of authority/ has as well
	late.becomes("active")
	text, err := os.ReadFile(filepath.Join(d.dir, "join.jwt"))
	if err != nil {
		t.Fatal(err)
	}
	join := strings.TrimSpace(string(text))
	newMember(t, "later.example", t.TempDir(), join, nil).becomes("active")

	// 2. Nodes are given tokens of the new issuers, and the renewed certificate.
	d.honest.reprovision()
	eventually(t, "the node has a token of the new issuer", func() bool { return issuerOf(t, d.honest.token()) != issuerOf(t, before) })
	d.honest.becomes("active")
	if d.honest.ca() == ca {
		t.Error("the node does not have the renewed certificate of the authority")
	}
	if d.honest.joinToken() != join {
		t.Error("the node, which had its place before the rotation, does not have the new join token")
	}
	lateToken := late.token()
	late.reprovision()
	eventually(t, "the late node has moved", func() bool { return late.token() != lateToken && late.state() == "active" })
	if late.joinToken() != d.join {
		t.Error("who came by the join token before, after it was replaced, was given the new one")
	}

	// 3. The keys that sign roots and lists are replaced, too.
	s.changeSigners()
	s.publish(s.stock(web("1.1.0")))
	d.honest.runs("web", "1.1.0")

	// 4. What was replaced is revoked.
	if !stolen.comesIn() {
		t.Error("what was issued before is refused before it is revoked")
	}
	d.revokeAll(r)
	if stolen.comesIn() {
		t.Error("what the issuer of clients before has signed is let in after it was revoked")
	}
	d.works(t, "what was replaced was revoked")
	if err := d.honest.store.SetJoinToken(d.join); err != nil { // as a service that starts the node with the file before does each time
		t.Fatal(err)
	}
	again := d.honest.token()
	d.honest.reprovision()
	eventually(t, "the node has moved once more", func() bool { return d.honest.token() != again })
	d.honest.becomes("active")
	s.publish(s.stock(web("1.2.0")))
	d.honest.runs("web", "1.2.0")
	d.works(t, "all of it")
}

// joinToken is the join token that the node has.
func (m *member) joinToken() string {
	m.t.Helper()
	token, err := m.store.JoinToken()
	if err != nil {
		m.t.Fatal(err)
	}
	return token
}

// ca is the certificate authority that the node was assigned.
func (m *member) ca() string {
	m.t.Helper()
	a, err := m.store.Active()
	if err != nil {
		m.t.Fatal(err)
	}
	return a.CA
}

// changeSigners publishes a trust root with other keys for roots and for lists.
func (s *shop) changeSigners() {
	t := s.t
	t.Helper()
	root, publisher := newKey(t), newKey(t)
	next, err := s.firstRoot().Next(registry.RootChange{
		Role: registry.RoleSpec, Add: []identity.PublicKey{publisher.Public()}, Remove: []identity.PublicKey{s.key.Public()},
		Issued: time.Now().UTC().Truncate(time.Second), Expires: time.Now().UTC().Truncate(time.Second).Add(365 * 24 * time.Hour),
	})
	if err == nil {
		next.Roles[registry.RoleRoot] = registry.Role{Keys: []identity.PublicKey{root.Public()}, Threshold: 1}
	} else {
		t.Fatal(err)
	}
	s.put("root.2", s.sign(next, s.root, root))
	s.root, s.key = root, publisher
}

// revokeAll revokes what a rotation has replaced.
func (d *drill) revokeAll(r *overlay.Rotated) {
	t := d.t
	t.Helper()
	for _, file := range r.Revoke {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := identity.Inspect(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		d.ask("issuer", c.PublicKey)
	}
	for _, key := range r.OldKeys {
		d.ask("key", key)
	}
}
