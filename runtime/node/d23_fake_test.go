package node_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// listenerSays is the last message of the node's connection to the enrollment listener.
func (m *member) listenerSays() string {
	m.t.Helper()
	detail, err := m.agent.Host().Machine(m.t.Context(), "enrollment")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, w := range detail.Watchers {
		if w.Name == "listener" {
			return w.Message
		}
	}
	return ""
}

// TestD23FakeOverlay has another cell, with its own authority and its own root, in the place of the one that the join token is of. The node
// tells it nothing and says why; when the true one is there, it joins.
func TestD23FakeOverlay(t *testing.T) {
	var hosts []overlay.HostOptions
	c := makeCell(t, func(o *overlay.InitOptions) { hosts = o.Hosts })
	fake := newCell(t, func(o *overlay.InitOptions) { o.Hosts = hosts })
	m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	eventually(t, "the node says why it does not connect", func() bool { return strings.Contains(m.listenerSays(), "pin") })
	if s := m.state(); s != "connecting" {
		t.Errorf("the node is %s", s)
	}
	believer := newMember(t, "n2.example", t.TempDir(), fake.join, nil)
	believer.becomes("active")
	if r := record(t, fake.bucket("NODES"), "n1.example"); r != nil {
		t.Errorf("the fake overlay knows of the node: %v", r)
	}
	if err := errors.Join(believer.stop(), fake.stop()); err != nil {
		t.Fatal(err)
	}
	c.run()
	m.becomes("active")
}

// impostor is somebody who has the overlay's TLS key, so that nodes connect, and signs challenges and assignments with what it has.
type impostor struct {
	t                     testing.TB
	conn                  *nats.Conn
	challenge, assignment *identity.Signer
	root                  string
	silent                atomic.Bool // it does nothing by itself
}

func newImpostor(t testing.TB, c *cell, challenge, assignment *cell) *impostor {
	t.Helper()
	claims, err := identity.Inspect(c.join)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(claims.Join.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(c.dir, "hosts", "overlay1")
	cert, err := tls.LoadX509KeyPair(filepath.Join(host, "tls.pem"), filepath.Join(host, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	anything(t, &server.Options{Port: port, TLS: true, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}})
	trust, err := identity.PinnedTLS(claims.Join.Pins)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := nats.Connect(claims.Join.URLs[0], nats.Secure(trust))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	i := &impostor{
		t: t, conn: conn, challenge: challenge.signer("hosts", "overlay1", "issuers", "enrollment"),
		assignment: assignment.signer("hosts", "overlay1", "issuers", "enrollment"),
		root:       strings.TrimSpace(read(t, filepath.Join(assignment.dir, "hosts", "overlay1", "roots"))),
	}
	if _, err := conn.Subscribe("enroll.*.out.hello", i.handshake); err != nil {
		t.Fatal(err)
	}
	return i
}

// handshake does what an enrollee does.
func (i *impostor) handshake(m *nats.Msg) {
	if i.silent.Load() {
		return
	}
	_ = m.Respond([]byte(`{"accepted": true}`))
	hello, err := statement(m)
	if err != nil {
		return
	}
	key := strings.Split(m.Subject, ".")[1]
	document := map[string]any{"hello": hello.ID, "public_key": key, "identity": "n1.example", "cell": "test"}
	proof, err := i.ask(key, "challenge", "challenge", i.challenge, document)
	if err != nil {
		return
	}
	token, err := i.assignment.Sign(identity.Claims{
		Purpose: identity.PurposeNode, Subject: "n1.example", Identity: "n1.example", PublicKey: key, Cell: "test",
		IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		return
	}
	_, _ = i.ask(key, "assignment", identity.PurposeAssignment, i.assignment, map[string]any{
		"proof": proof.ID, "identity": "n1.example", "public_key": key, "cell": "test", "urls": []string{"tls://127.0.0.1:1"}, "roots": []string{i.root},
		"ca": "", "token": token, "configuration": map[string]any{"colour": "black"}, "policies": map[string]any{},
	})
}

// ask sends a signed document to the node, and reads its signed answer.
func (i *impostor) ask(key, subject string, purpose identity.Purpose, signer *identity.Signer, document map[string]any) (*identity.Claims, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	token, err := signer.Sign(identity.Claims{
		Purpose: purpose, Audience: key, Document: text, IssuedAt: time.Now(), Expires: time.Now().Add(5 * time.Minute),
	})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range 250 {
		answer, err := i.conn.Request("enroll."+key+".in."+subject, body, 5*time.Second)
		switch {
		case err == nil:
			return statement(answer)
		case !errors.Is(err, nats.ErrNoResponders):
			return nil, err
		}
		<-again.C // the node does not listen yet, as an enrollee would find, too
	}
	return nil, nats.ErrNoResponders
}

// statement reads the signed document of a message.
func statement(m *nats.Msg) (*identity.Claims, error) {
	var body struct{ Token string }
	if err := json.Unmarshal(m.Data, &body); err != nil {
		return nil, err
	}
	return identity.Inspect(body.Token)
}

// TestD23ImpostorConfiguresNobody has an overlay that satisfies the pin. It needs the keys of the true one for the challenge and for the
// assignment: the node keeps neither otherwise, stays pending, and says why.
func TestD23ImpostorConfiguresNobody(t *testing.T) {
	for name, tt := range map[string]struct {
		challenge, assignment bool // signed by the true overlay's issuer
		configured            bool
	}{
		"a challenge of another root":      {false, false, false},
		"an assignment of another root":    {true, false, false},
		"with all keys of the true issuer": {true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, other := makeCell(t, nil), makeCell(t, nil)
			by := map[bool]*cell{true: c, false: other}
			newImpostor(t, c, by[tt.challenge], by[tt.assignment])
			m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
			if tt.configured {
				m.becomes("joining")
				return
			}
			eventually(t, "the node says why it is not configured", func() bool { return m.state() == "pending" && m.reason() != "" })
			if _, err := m.store.Active(); !errors.Is(err, identity.ErrNothing) || m.entered("staging") > 0 {
				t.Errorf("the node has been assigned to something: %v", err)
			}
			t.Log(m.reason())
		})
	}
}
