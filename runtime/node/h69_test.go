package node_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// question asks a service of the cell as an operator, until one answers, and returns the code of a denial, "" where there is none, and what is said.
func (c *cell) question(service string, question any) (code, said string) {
	c.t.Helper()
	conn := c.operator()
	defer conn.Close()
	body, err := json.Marshal(question)
	if err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, service+" answers", func() bool {
		m, err := conn.Request(broker.ServiceSubject(conn.Opts.Nkey, service), body, 10*time.Second)
		if err != nil {
			return false
		}
		if code, said = m.Header.Get("Nats-Service-Error-Code"), m.Header.Get("Nats-Service-Error"); code == "" {
			said = string(m.Data)
		}
		return code != messaging.CodeNotReady
	})
	return code, said
}

// ask asks the cell's service revoke as an operator.
func (c *cell) ask(kind, value string) {
	c.t.Helper()
	question := map[string]any{"kind": kind, "value": value, "reason": "stolen", "by": "operator", "force": true, "host": true}
	if code, said := c.question("revoke", question); code != "" {
		c.t.Fatalf("the revocation of %s %s: %s %s", kind, value, code, said)
	}
}

// thief is somebody with a key of his own, for whom a stolen issuer signs.
type thief struct {
	c      *cell
	claims identity.Claims
	key    *identity.Key
	token  string
}

func (c *cell) thief(issuer *identity.Signer, claims identity.Claims) *thief {
	c.t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		c.t.Fatal(err)
	}
	claims.PublicKey, claims.Cell = key.Public().String(), "test"
	claims.IssuedAt, claims.Expires = time.Now(), time.Now().Add(time.Hour)
	token, err := issuer.Sign(claims)
	if err != nil {
		c.t.Fatal(err)
	}
	return &thief{c: c, claims: claims, key: key, token: token}
}

// comesIn reports whether the cell lets the thief in.
func (h *thief) comesIn() bool {
	h.c.t.Helper()
	at, err := overlay.OpenClient(filepath.Join(h.c.dir, "operator"))
	if err != nil {
		h.c.t.Fatal(err)
	}
	tls, err := identity.CATLS(at.CA)
	if err != nil {
		h.c.t.Fatal(err)
	}
	conn, err := nats.Connect(strings.Join(at.URLs, ","), nats.Secure(tls), nats.Token(h.token), nats.Timeout(patience),
		nats.CustomInboxPrefix(broker.InboxPrefix(&h.claims, h.key.Public())), nats.MaxReconnects(0),
		nats.Nkey(h.key.Public().NKey(), func(nonce []byte) ([]byte, error) { return h.key.Sign(nonce), nil }))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// drill is a cell in which keys are stolen, while an honest node works on.
type drill struct {
	*cell
	honest *member
}

// works holds that the honest node has noticed nothing.
func (d *drill) works(t *testing.T, after string) {
	t.Helper()
	if n := d.honest.entered("recovering") + d.honest.entered("revoked"); n > 0 || d.honest.state() != "active" {
		t.Errorf("after %s the honest node is %s, and has recovered %d times", after, d.honest.state(), n)
	}
}

// TestH69AStolenKeyOfEachKindIsRevokedAndReplaced is the drill: a key of a node, of a client, a join token, and all keys of a host are stolen,
// revoked and replaced, while an honest node works on. What is stolen is of use first.
func TestH69AStolenKeyOfEachKindIsRevokedAndReplaced(t *testing.T) {
	d := &drill{cell: newCell(t, nil)}
	d.honest = newMember(t, "honest.example", t.TempDir(), d.join, hurriedNodes(t))
	d.honest.becomes("active")
	t.Run("node", d.losesANode)
	t.Run("client", d.losesAClient)
	t.Run("join token", d.losesAJoinToken)
	t.Run("host", d.losesAHost)
}

func (d *drill) losesANode(t *testing.T) {
	lost := newMember(t, "lost.example", t.TempDir(), d.join, hurriedNodes(t))
	lost.becomes("active")
	key, err := lost.store.Key()
	if err != nil {
		t.Fatal(err)
	}
	d.ask("node", "lost=example")
	d.ask("key", key.Public().String())
	// The listener refuses its key, or where it is faster the overlay its name.
	eventually(t, "the thief is out", func() bool { return lost.state() == "turned_away" || lost.state() == "revoked" })
	newMember(t, "replacement.example", t.TempDir(), d.join, nil).becomes("active")
	d.works(t, "a node's key was stolen")
}

func (d *drill) losesAClient(t *testing.T) {
	issuer := d.signer("authority", "client")
	viewer := d.thief(issuer, identity.Claims{ID: "t-client", Purpose: identity.PurposeClient, Subject: "alice", Permissions: map[string]bool{"fleet_view": true}})
	again := d.thief(issuer, identity.Claims{ID: "t-again", Purpose: identity.PurposeClient, Subject: "alice", Permissions: map[string]bool{"fleet_view": true}})
	if !viewer.comesIn() {
		t.Fatal("a client's key is of no use before it is revoked")
	}
	d.ask("id", "t-client")
	if viewer.comesIn() {
		t.Error("a client comes in with a token that is revoked")
	}
	if !again.comesIn() {
		t.Error("the client does not come in with another token")
	}
	d.works(t, "a client's key was stolen")
}

func (d *drill) losesAJoinToken(t *testing.T) {
	stolen, err := identity.Inspect(d.join)
	if err != nil {
		t.Fatal(err)
	}
	d.ask("join", stolen.ID)
	late := newMember(t, "late.example", t.TempDir(), d.join, nil)
	next := *stolen
	next.ID = "another"
	token, err := d.signer("authority", "join").Sign(next)
	if err != nil {
		t.Fatal(err)
	}
	newMember(t, "invited.example", t.TempDir(), token, nil).becomes("active")
	if late.state() == "active" {
		t.Error("a node joins by a join token that is revoked")
	}
	if err := d.honest.store.SetJoinToken(token); err != nil {
		t.Fatal(err)
	}
	d.works(t, "the join token was stolen")
}

func (d *drill) losesAHost(t *testing.T) {
	hosts := []string{"hosts", "overlay1", "issuers"}
	enrollment, service := d.signer(append(hosts, "enrollment")...), d.signer(append(hosts, "service")...)
	node := d.thief(enrollment, identity.Claims{Purpose: identity.PurposeNode, Subject: "forged.example", Identity: "forged.example"})
	host := d.thief(service, identity.Claims{
		Purpose: identity.PurposeService, Subject: "overlay1", Identity: "overlay1", Permissions: map[string]bool{"fleet_service": true},
	})
	if !node.comesIn() || !host.comesIn() {
		t.Fatal("a host's issuers are of no use before they are revoked")
	}
	before := d.honest.token()
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: d.dir, Host: "overlay1", Now: time.Now()})
	if err != nil || len(r.Revoke) != 2 || r.OldKey == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	d.run()
	eventually(t, "the honest node is back", func() bool {
		conn, err := d.honest.agent.Pool().Conn(d.honest.id, "fleet")
		return err == nil && conn.IsConnected()
	})
	d.works(t, "the host's keys were replaced")
	if !node.comesIn() {
		t.Error("what the issuer before has signed is refused before it is revoked: nodes would be cut off")
	}
	d.honest.reprovision()
	eventually(t, "the honest node has a token of the new issuer", func() bool { return issuerOf(t, d.honest.token()) != issuerOf(t, before) })
	d.honest.becomes("active")
	for _, s := range []*identity.Signer{enrollment, service} {
		d.ask("issuer", s.Key.Public().String())
	}
	d.ask("key", r.OldKey)
	if node.comesIn() || host.comesIn() {
		t.Error("what a stolen issuer has signed is let in after it was revoked")
	}
	d.works(t, "the host's issuers were revoked")
}

func issuerOf(t testing.TB, token string) string {
	t.Helper()
	c, err := identity.Inspect(token)
	if err != nil {
		t.Fatal(err)
	}
	return c.Issuer
}

// TestH69AHostDoesNotSignByAnIssuerThatIsRevoked, and says what to do.
func TestH69AHostDoesNotSignByAnIssuerThatIsRevoked(t *testing.T) {
	c := newCell(t, nil)
	events, err := c.operator().SubscribeSync("overlay.event.keys")
	if err != nil {
		t.Fatal(err)
	}
	c.ask("issuer", c.signer("hosts", "overlay1", "issuers", "enrollment").Key.Public().String())
	eventually(t, "the host says so", func() bool { return stateOf(c.host.Host(), "keys") == "revoked" })
	if m, err := events.NextMsg(patience); err != nil || !strings.Contains(string(m.Data), "statecraft overlay rotate") {
		t.Errorf("the event: %v", err)
	}
}
