package node_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// sharing makes a node's folder that holds the key of another node.
func sharing(t testing.TB, dir string) string {
	t.Helper()
	other := t.TempDir()
	if err := os.MkdirAll(filepath.Join(other, "identity"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(other, "identity", "key"), read(t, filepath.Join(dir, "identity", "key")), 0o600)
	return other
}

// TestH71AUseIsAPlace has a join token that takes two nodes, and one key that comes under three names. Each name is a place. Who has its place
// and comes again takes no other.
func TestH71AUseIsAPlace(t *testing.T) {
	counting := func(o *overlay.InitOptions) { o.MaxUses = 2 }
	byKey := override(t, t.TempDir(), "overlay/enrollee", `value: 'instance + " " + data.identity'`, "value: instance")
	for name, tt := range map[string]struct {
		change func(o *overlay.InitOptions)
		third  string
	}{
		"where keys are counted": {func(o *overlay.InitOptions) { counting(o); o.Machines = byKey }, "active"},
		"as it is":               {counting, "pending"},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := newCell(t, tt.change), t.TempDir()
			machines := hurriedNodes(t)
			first := newMember(t, "n1.example", dir, c.join, machines)
			first.becomes("active")
			second := newMember(t, "n2.example", sharing(t, dir), c.join, nil)
			second.becomes("active")
			third := newMember(t, "n3.example", sharing(t, dir), c.join, nil)
			eventually(t, "the third is "+tt.third, func() bool {
				return third.state() == tt.third && (tt.third == "active" || strings.Contains(third.reason(), "used as often as it may be"))
			})
			third.stop() // has the key of the first, and would take challenges from it
			before := first.token()
			first.reprovision()
			eventually(t, "the first has come again", func() bool { return first.state() == "active" && first.token() != before })
		})
	}
}

// TestH71ReservedNames has nodes come under the names of the host, of the operator, of a client that has connected and of one that the site
// lists. All are refused, and told why, as is the fleet.
func TestH71ReservedNames(t *testing.T) {
	permissive := override(t, t.TempDir(), "overlay/enrollee", "when: data.identity in (input.site?.reserved ?? [])", "when: 'false'",
		"- name: reserved\n    from: [naming]\n    destination: refusing\n", "- name: reserved\n    from: [naming]\n    destination: cleared\n")
	hurried := override(t, t.TempDir(), "overlay/names", "interval: 1m", "interval: 500ms")
	names := map[string]string{
		"overlay1": "this name is reserved", "operator": "this name is reserved", "app.example": "this name is reserved", "viewer": "this name is that of a client",
	}
	for name, tt := range map[string]struct {
		machines string
		refused  bool
	}{"where nobody asks": {permissive, false}, "as it is": {hurried, true}} {
		t.Run(name, func(t *testing.T) {
			c := makeCell(t, func(o *overlay.InitOptions) { o.Machines = tt.machines })
			c.configure(`host: "overlay1"`, "host: overlay1\nreserved: [app.example]")
			c.run()
			if tt.refused {
				c.client("fleet_view") // which is called viewer
				eventually(t, "the streams are there", func() bool { return stateOf(c.host.Host(), "streams") == "steady" })
				cells := c.bucket("CELLS")
				eventually(t, "the names are reserved", func() bool { return reserved(t, cells, "viewer") && reserved(t, cells, "overlay1") })
			}
			told := refusals(t, c)
			for id, reason := range names {
				m := newMember(t, id, t.TempDir(), c.join, nil)
				if !tt.refused {
					m.becomes("active")
					continue
				}
				eventually(t, id+" knows why it is refused", func() bool { return m.state() == "pending" && strings.Contains(m.reason(), reason) })
				if r := record(t, c.bucket("NODES"), id); r != nil {
					t.Errorf("the register has %v", r)
				}
				eventually(t, "the fleet is told of "+id, func() bool {
					e := told()
					return e["identity"] == id && e["claimant"] == m.data("public_key") && strings.Contains(fmt.Sprint(e["reason"]), reason)
				})
			}
		})
	}
}

func reserved(t testing.TB, cells jetstream.KeyValue, name string) bool {
	t.Helper()
	_, err := cells.Get(t.Context(), "name."+name)
	return err == nil
}

// refusals returns what the fleet is told next of who was turned away, empty where that is nothing yet.
func refusals(t testing.TB, c *cell) func() map[string]any {
	t.Helper()
	sub, err := c.operator().SubscribeSync("overlay.event.refused.>")
	if err != nil {
		t.Fatal(err)
	}
	return func() map[string]any {
		var e struct {
			Type string
			Data map[string]any
		}
		m, err := sub.NextMsg(10 * time.Millisecond)
		if err != nil || json.Unmarshal(m.Data, &e) != nil || e.Type != "io.statecraft.overlay.refused.v1" {
			return nil
		}
		return e.Data
	}
}

// introduction is a signed introduction with a join token.
func introduction(t testing.TB, key *identity.Key, id, join string) []byte {
	t.Helper()
	document, err := json.Marshal(map[string]any{"identity": id, "public_key": key.Public().String(), "join": join, "proof_first": true})
	if err != nil {
		t.Fatal(err)
	}
	token, err := (&identity.Signer{Key: key}).Sign(identity.Claims{
		Purpose: "hello", PublicKey: key.Public().String(), Document: document, IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// joinToken signs another join token of the cell.
func (c *cell) joinToken(change func(*identity.Claims)) string {
	c.t.Helper()
	claims, err := identity.Inspect(c.join)
	if err != nil {
		c.t.Fatal(err)
	}
	more := identity.Claims{Purpose: identity.PurposeJoin, Subject: "join", Cell: claims.Cell, Join: claims.Join, IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour)}
	change(&more)
	token, err := c.signer("authority", "join").Sign(more)
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// TestD24IntroductionOfAnotherToken has somebody with two join tokens, one for a network that they are not in. They connect with the other and
// introduce themselves with that one.
func TestD24IntroductionOfAnotherToken(t *testing.T) {
	permissive := override(t, t.TempDir(), "overlay/enrollee", `when: (input.session ?? "") != "" && event.payload.id != input.session`, "when: 'false'",
		`(input.session ?? "") == "" && (len(event.payload.cidr ?? [])`, `input.site == nil && (len(event.payload.cidr ?? [])`)
	for name, tt := range map[string]struct {
		machines string
		refused  bool
	}{"where nobody asks": {permissive, false}, "as it is": {"", true}} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, func(o *overlay.InitOptions) { o.Machines = tt.machines })
			elsewhere := c.joinToken(func(cl *identity.Claims) { cl.CIDR = []string{"10.99.0.0/16"} })
			claims, err := identity.Inspect(c.join)
			if err != nil {
				t.Fatal(err)
			}
			for _, by := range []string{"hello", "hello." + claims.ID} {
				conn, _, key := joining(t, c.join)
				outcome := introduces(t, conn, key, by, introduction(t, key, "n1.example", elsewhere))
				if want := map[bool]string{true: "answer", false: "challenge"}[tt.refused]; outcome != want {
					t.Errorf("by %s: it hears %s, want %s", by, outcome, want)
				}
				if outcome := introduces(t, conn, key, by, introduction(t, key, "n2.example", c.join)); outcome != "challenge" {
					t.Errorf("by %s, with the token of the session: it hears %s", by, outcome)
				}
			}
			other, err := identity.Inspect(elsewhere)
			if err != nil {
				t.Fatal(err)
			}
			conn, denied, key := joining(t, c.join)
			subject := "enroll." + key.Public().String() + ".out.hello." + other.ID
			if err := conn.Publish(subject, introduction(t, key, "n1.example", elsewhere)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the broker lets nobody say another token's id", func() bool { return denied.of("publish", subject) })
		})
	}
}

// introduces says an introduction until it is taken, and returns what comes of it: challenge or answer.
func introduces(t testing.TB, conn *nats.Conn, key *identity.Key, by string, body []byte) string {
	t.Helper()
	in, err := conn.SubscribeSync("enroll." + key.Public().String() + ".in.>")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Unsubscribe() }()
	eventually(t, "the introduction is taken", func() bool {
		m, err := conn.Request("enroll."+key.Public().String()+".out."+by, body, patience)
		return err == nil && m.Header.Get("Nats-Service-Error-Code") == ""
	})
	m, err := in.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(m.Subject, ".challenge") {
		_ = m.Respond([]byte("nonsense")) // so that the enrollee ends
		if _, err := in.NextMsg(patience); err != nil {
			t.Errorf("a proof that cannot be read is not answered: %v", err)
		}
	}
	return m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
}
