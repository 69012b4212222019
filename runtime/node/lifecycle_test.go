package node_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// signer is one of a cell's issuers, by its path without the ending.
func (c *cell) signer(path ...string) *identity.Signer {
	c.t.Helper()
	base := filepath.Join(append([]string{c.dir}, path...)...)
	key, err := identity.LoadKey(base + ".key")
	if err != nil {
		c.t.Fatal(err)
	}
	return &identity.Signer{Key: key, Chain: []string{strings.TrimSpace(read(c.t, base+".jwt"))}}
}

// client connects as a client with the rights given, by nats.go alone.
func (c *cell) client(rights ...string) (*nats.Conn, *denials) {
	c.t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		c.t.Fatal(err)
	}
	claims := identity.Claims{
		Purpose: identity.PurposeClient, Subject: "viewer", PublicKey: key.Public().String(), Cell: "test", Permissions: map[string]bool{},
		IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
	}
	for _, r := range rights {
		claims.Permissions[r] = true
	}
	token, err := c.signer("authority", "client").Sign(claims)
	if err != nil {
		c.t.Fatal(err)
	}
	at, err := overlay.OpenClient(filepath.Join(c.dir, "operator"))
	if err != nil {
		c.t.Fatal(err)
	}
	return raw(c.t, at.URLs, token, key, broker.InboxPrefix(&claims, key.Public()), at.CA, nil)
}

// TestLifecycleEvents has a plain subscriber that may view the fleet see a node come and go, in documents as Choria's tools read them.
func TestLifecycleEvents(t *testing.T) {
	c := newCell(t, nil)
	viewer, denied := c.client("fleet_view")
	subs := map[string]*nats.Subscription{}
	for _, kind := range []string{"startup", "provisioned", "shutdown"} {
		sub, err := viewer.SubscribeSync("choria.lifecycle.event." + kind + ".*")
		if err != nil {
			t.Fatal(err)
		}
		subs[kind] = sub
	}
	if err := viewer.Flush(); err != nil {
		t.Fatal(err)
	}
	m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	m.becomes("active")
	lifecycle(t, subs["provisioned"], "provisioned", "provision_mode_server")
	lifecycle(t, subs["startup"], "startup", "server")
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	lifecycle(t, subs["shutdown"], "shutdown", "server")
	for _, sub := range subs {
		if n, _, err := sub.Pending(); err != nil || n > 0 {
			t.Errorf("%d more events on %s (%v)", n, sub.Subject, err)
		}
	}
	if _, err := viewer.SubscribeSync("node.>"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "who may view the fleet may not listen to its nodes", func() bool { return denied.of("subscription", "node.>") })
}

// lifecycle waits for an event, a CloudEvent whose data is as the schema of its kind has it.
func lifecycle(t testing.TB, sub *nats.Subscription, kind, component string) {
	t.Helper()
	m, err := sub.NextMsg(patience)
	if err != nil {
		t.Fatalf("no event %s: %v", kind, err)
	}
	if want := "choria.lifecycle.event." + kind + "." + component; m.Subject != want {
		t.Errorf("%s is on %s, want %s", kind, m.Subject, want)
	}
	var e struct {
		SpecVersion, ID, Type, Source, Subject string
		Time                                   time.Time
		Data                                   map[string]any
	}
	if err := json.Unmarshal(m.Data, &e); err != nil {
		t.Fatal(err)
	}
	if e.SpecVersion != "1.0" || e.ID == "" || e.Type != "io.choria.lifecycle.v1."+kind || e.Source != "io.choria.lifecycle" || e.Subject != "n1.example" || e.Time.IsZero() {
		t.Errorf("the envelope of %s: %s", kind, m.Data)
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "testdata", "schemas", "lifecycle", kind+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(e.Data); err != nil {
		t.Errorf("%s %v: %v", kind, e.Data, err)
	}
	if e.Data["identity"] != "n1.example" || e.Data["component"] != component {
		t.Errorf("%s is of %v", kind, e.Data)
	}
}
