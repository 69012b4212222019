package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// session is the node's connection to its cell.
func (m *member) session() *nats.Conn {
	m.t.Helper()
	conn, err := m.agent.Pool().Conn(m.id, "fleet")
	if err != nil {
		m.t.Fatal(err)
	}
	return conn
}

// kept fails the test where the node's session is another, or was interrupted.
func (m *member) kept(conn *nats.Conn) {
	m.t.Helper()
	switch now := m.session(); {
	case now != conn:
		m.t.Errorf("the node, which is %s, has another session", m.state())
	case conn.FlushTimeout(patience) != nil || conn.Reconnects > 0:
		m.t.Errorf("the session of the node, which is %s, was interrupted: %v", m.state(), conn.LastError())
	}
}

func (m *member) reprovision() {
	m.t.Helper()
	if _, err := m.agent.Host().Fire(m.t.Context(), "enrollment", "reprovision", nil, "operator"); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) token() string {
	m.t.Helper()
	given, err := m.store.Active()
	if err != nil {
		m.t.Fatal(err)
	}
	return given.Token
}

// hurriedNodes is a folder of machines of nodes that do not wait for long.
func hurriedNodes(t testing.TB, pairs ...string) func(c *node.Config) {
	dir := override(t, t.TempDir(), "node/enrollment", slices.Concat(hurried, pairs)...)
	return func(c *node.Config) { c.Machines = dir }
}

// TestD29MovingKeepsTheSession moves a node while the helper takes its time, with a restart of the node in between. It has its session in
// the cell until it switches.
func TestD29MovingKeepsTheSession(t *testing.T) {
	hold := filepath.Join(t.TempDir(), "hold")
	patient := override(t, t.TempDir(), "overlay/enrollee", "timeout: 10s\n    governor", "timeout: 10m\n    governor")
	c := newCell(t, func(o *overlay.InitOptions) {
		o.Machines, o.Helper = patient, helper(t, "while [ -e "+hold+" ]; do sleep 0.1; done", "echo '{}'")
	})
	dir := t.TempDir()
	m := newMember(t, "n1.example", dir, c.join, hurriedNodes(t))
	m.becomes("active")
	write(t, hold, "", 0o600)
	conn, before := m.session(), m.token()
	m.reprovision()
	m.becomes("pending")
	m.kept(conn)
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	m = newMember(t, "n1.example", dir, c.join, hurriedNodes(t))
	eventually(t, "the node has its session again", func() bool {
		_, err := m.agent.Pool().Conn(m.id, "fleet")
		return err == nil
	})
	if s := m.state(); s == "active" {
		t.Errorf("the node is %s, want that it still moves", s)
	}
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node has moved", func() bool { return m.state() == "active" && m.token() != before })
	if moving := fmt.Sprint(m.data("moving")); moving != "0" {
		t.Errorf("the node still moves, since %s", moving)
	}
}

// TestD29MoveDenied moves a node that the helper does not want to have anywhere else. It stays where it is, in the session that it has.
func TestD29MoveDenied(t *testing.T) {
	answer := filepath.Join(t.TempDir(), "answer")
	write(t, answer, "{}", 0o600)
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper = helper(t, "cat "+answer) })
	m := newMember(t, "n1.example", t.TempDir(), c.join, hurriedNodes(t))
	m.becomes("active")
	write(t, answer, `{"deny": true, "msg": "not now"}`, 0o600)
	conn, before, had := m.session(), m.token(), record(t, c.bucket("NODES"), "n1.example")["token_id"]
	m.reprovision()
	eventually(t, "the node has been denied another place", func() bool { return m.entered("returning") == 1 && m.state() == "active" })
	m.kept(conn)
	if m.token() != before || m.reason() != "not now" {
		t.Errorf("the node has another token, or does not know why it stayed: %q", m.reason())
	}
	if now := record(t, c.bucket("NODES"), "n1.example")["token_id"]; now != had {
		t.Errorf("the register has the token %v, and had %v", now, had)
	}
}

// TestD29FailedMoveRenews moves a node that does not come to its new place after the register has it there. It goes back to the token that
// it had, and renews that one.
func TestD29FailedMoveRenews(t *testing.T) {
	c, dir := newCell(t, shortLived(t, "20s")), t.TempDir()
	first := newMember(t, "n1.example", dir, c.join, nil)
	first.becomes("active")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	m := newMember(t, "n1.example", dir, c.join, hurriedNodes(t, "confirming: {after: {2m: join_failed}", "confirming: {after: {100ms: join_failed}",
		"{name: confirm, type: request, ", "{name: confirm, type: request, when: \"false\", "))
	before := m.token()
	m.reprovision()
	eventually(t, "the node is back", func() bool { return m.entered("rolling_back") == 1 && m.state() == "active" })
	if m.token() != before {
		t.Error("the node has another token than it had")
	}
	if r := record(t, c.bucket("NODES"), "n1.example"); r["state"] != "assigned" {
		t.Errorf("the register has %v, want that it waits for the node", r)
	}
	eventually(t, "the node has its next token", func() bool { return m.expires().After(time.Now().Add(time.Minute)) })
	m.becomes("active")
	if r := record(t, c.bucket("NODES"), "n1.example"); r["state"] != "active" || m.entered("recovering") > 0 {
		t.Errorf("the register has %v, and the node recovered %d times", r, m.entered("recovering"))
	}
}

// TestD29LostLogExpiredToken removes the log of a node that is off until its token has ended. It renews the token, and asks nobody to confirm
// what it had.
func TestD29LostLogExpiredToken(t *testing.T) {
	c, dir := newCell(t, shortLived(t, "3s")), t.TempDir()
	had := newMember(t, "n1.example", dir, c.join, nil)
	had.becomes("active")
	ended := had.expires()
	if err := had.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token has ended", func() bool { return time.Now().After(ended.Add(time.Second)) })
	m := newMember(t, "n1.example", dir, c.join, nil)
	eventually(t, "the node has a new token", func() bool { return m.expires().After(time.Now().Add(time.Minute)) })
	m.becomes("active")
	for _, state := range []string{"joining", "confirming", "recovering", "connecting"} {
		if m.entered(state) > 0 {
			t.Errorf("the node was %s", state)
		}
	}
}

// TestD29LostLogOnTrial removes the log of a node that has switched to an assignment which nobody has confirmed. The assignment itself
// says what to ask the cell by.
func TestD29LostLogOnTrial(t *testing.T) {
	c, dir := newCell(t, nil), t.TempDir()
	held := newMember(t, "n1.example", dir, c.join, hurriedNodes(t, holds["after switching"].text, holds["after switching"].by))
	held.becomes("joining")
	given := held.token()
	if err := held.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	m := newMember(t, "n1.example", dir, c.join, nil)
	m.becomes("active")
	if m.store.Pending() || m.token() != given || m.entered("rolling_back") > 0 {
		t.Error("the node has another assignment than it was given, or one on trial")
	}
}

// TestD29TrialEnds has nobody who confirms an assignment until its token has ended. The node does not wait for longer than that.
func TestD29TrialEnds(t *testing.T) {
	overlays := override(t, t.TempDir(), "overlay/registrar", "name: register\n    type: kv\n", "name: register\n    type: kv\n    when: \"false\"\n")
	overlays = override(t, overlays, "overlay/enrollee", "lifetime: 24h", "lifetime: 3s")
	c := newCell(t, func(o *overlay.InitOptions) { o.Machines = overlays })
	m := newMember(t, "n1.example", t.TempDir(), c.join, hurriedNodes(t, "confirming: {after: {2m: join_failed}", "confirming: {after: {1h: join_failed}",
		"retry: {max: 10, backoff: 100ms..10s, then: join_failed}", "retry: {max: 1000, backoff: 100ms..10s}"))
	eventually(t, "the node enrolls anew", func() bool { return m.entered("confirming") == 1 && m.entered("connecting") == 2 })
}
