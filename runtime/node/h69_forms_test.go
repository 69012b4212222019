package node_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// H69: TestH69ARevocationHasTheFormOfItsKind asks for revocations of every kind, with a value in every odd form, by force. Each is answered: it is
// refused with the reason, or stored in the form in which brokers refuse whom it names.
func TestH69ARevocationHasTheFormOfItsKind(t *testing.T) {
	c := newCell(t, nil)
	c.streamsAreThere()
	root, err := identity.Inspect(c.join)
	if err != nil {
		t.Fatal(err)
	}
	above, err := identity.Inspect(root.Chain[len(root.Chain)-1])
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 254)
	odd := map[string]string{"empty": "", "a space": "n1 example", "a percent": "n1%2eexample", "a dot": "n1.example", "a wildcard": "*", "a line": "n1\nexample", "too long": long}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(odd)
		maps.Copy(all, more)
		return all
	}
	names := with(map[string]string{"upper case": "N1=EXAMPLE", "an end that is none": "n1=", "an id": "T_1"})
	ids := with(map[string]string{"longer than an id": strings.Repeat("a", 129)})
	keys := with(map[string]string{
		"a name": "zz_notakey", "a digit too many": strings.Repeat("a", 65), "no digits": strings.Repeat("z", 64), "an nkey": newKey(t).Public().NKey(),
		"of small order":       strings.Repeat("0", 64),
		"another of them":      "C7176A703D4DD84FBA3C0B760D10670F2A2053FA2C39CCC64EC7FD7792AC03FA",
		"the root of the cell": above.Issuer, "the root in capitals": strings.ToUpper(above.Issuer),
	})
	refuse := func(kind, form, value string) {
		t.Helper()
		question := map[string]any{"kind": kind, "value": value, "reason": "odd", "by": "operator", "force": true, "host": true}
		if code, said := c.question("revoke", question); code != messaging.CodeRefused || said == "" || said == "refused" {
			t.Errorf("%s, %s: %.70q is answered with %q %s", kind, form, value, code, said)
		}
	}
	for kind, forms := range map[string]map[string]string{
		"identity": names, "node": names, "host": names, "client": odd, "id": ids, "join": ids, "key": keys, "issuer": keys, "": names, "root": names,
	} {
		for form, value := range forms {
			refuse(kind, form, value)
		}
	}
	// What is of another type is refused by the declaration of the field.
	for field, value := range map[string]any{"value": 7, "kind": []string{"id"}, "reason": "", "by": nil, "force": "yes", "host": 1, "until": "soon"} {
		question := map[string]any{"kind": "id", "value": "t1", "reason": "odd", "by": "operator", "force": true, field: value}
		if code, said := c.question("revoke", question); code != messaging.CodeRefused && code != messaging.CodeUnreadable || said == "" || said == "refused" {
			t.Errorf("%s: %v is answered with %q %s", field, value, code, said)
		}
	}
	if list, err := c.bucket("REVOKED").ListKeys(t.Context()); err != nil {
		t.Fatal(err)
	} else {
		for key := range list.Keys() {
			t.Errorf("stored: %s", key)
		}
	}
	c.bans(t)
}

// bans revokes whoever comes in by each kind of revocation, in the last form that each takes, and holds that it does not come in any more.
func (c *cell) bans(t *testing.T) {
	enrollment, service := c.signer("hosts", "overlay1", "issuers", "enrollment"), c.signer("hosts", "overlay1", "issuers", "service")
	clients := c.signer("authority", "client")
	node := func(name string) *thief {
		return c.thief(enrollment, identity.Claims{Purpose: identity.PurposeNode, Subject: name, Identity: identity.Identity(name)})
	}
	client := func(id, name string) *thief {
		return c.thief(clients, identity.Claims{ID: id, Purpose: identity.PurposeClient, Subject: name, Permissions: map[string]bool{"fleet_view": true}})
	}
	holder := client("t1", "holder.example")
	host := c.thief(service, identity.Claims{
		Purpose: identity.PurposeService, Subject: "overlay1", Identity: "overlay1", Permissions: map[string]bool{"fleet_service": true},
	})
	revoked := c.bucket("REVOKED")
	for _, tt := range []struct {
		kind, value, place string
		who                *thief
	}{
		{"identity", "n1=example", "identity.n1=example", node("n1.example")},
		{"node", "n_2-x=example", "identity.n_2-x=example", node("n_2-x.example")},
		{"client", "Alice=Example", "client.Alice=Example", client("t2", "Alice.Example")},
		{"id", "T_3=-", "id.T_3=-", client("T_3=-", "bob")},
		{"join", "T_4", "id.T_4", client("T_4", "carol")}, // by its id as any other
		{"key", strings.ToUpper(holder.key.Public().String()), "key." + holder.key.Public().String(), holder},
		{"issuer", strings.ToUpper(enrollment.Key.Public().String()), "key." + enrollment.Key.Public().String(), node("n5.example")},
	} {
		if !tt.who.comesIn() {
			t.Fatalf("%s: nobody comes in before it is revoked", tt.kind)
		}
		c.ask(tt.kind, tt.value)
		eventually(t, tt.place+" bans", func() bool { return !tt.who.comesIn() })
		entry, err := revoked.Get(t.Context(), tt.place)
		if err != nil {
			t.Fatalf("%s %s: %v", tt.kind, tt.value, err)
		}
		c.readable(t, entry)
	}
	// The last, as the cell has no other host, and its answer may not come.
	if !host.comesIn() {
		t.Fatal("the host's issuer is of no use before the host is revoked")
	}
	conn := c.operator()
	question := []byte(`{"kind": "host", "value": "overlay1", "reason": "stolen", "by": "operator", "host": true}`)
	if err := conn.PublishRequest(broker.ServiceSubject(conn.Opts.Nkey, "revoke"), conn.NewInbox(), question); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the host is banned", func() bool { return !host.comesIn() })
}

// streamsAreThere waits until the cell has its buckets.
func (c *cell) streamsAreThere() {
	c.t.Helper()
	eventually(c.t, "the streams are there", func() bool { return stateOf(c.host.Host(), "streams") == "steady" })
}

// readable holds that a broker reads the key of a revocation, and in this form.
func (c *cell) readable(t *testing.T, entry jetstream.KeyValueEntry) {
	t.Helper()
	if r, err := broker.ParseRevocation(entry.Key()); err != nil || r.Key() != entry.Key() || !strings.Contains(string(entry.Value()), `"by":"operator"`) {
		t.Errorf("brokers read %s as %+v, %v: %s", entry.Key(), r, err, entry.Value())
	}
}

// H69: TestH69AHostsKeyInCapitals: force is for what nobody has, and a host is somebody, however its key is written.
func TestH69AHostsKeyInCapitals(t *testing.T) {
	c := newCell(t, nil)
	c.streamsAreThere()
	cells := c.bucket("CELLS")
	eventually(t, "the host has written its keys", func() bool { _, err := cells.Get(t.Context(), "host.overlay1"); return err == nil })
	for _, name := range []string{"enrollment", "service"} {
		key := c.signer("hosts", "overlay1", "issuers", name).Key.Public().String()
		for _, kind := range []string{"key", "issuer"} {
			for _, value := range []string{key, strings.ToUpper(key), strings.ToUpper(key[:32]) + key[32:]} {
				question := map[string]any{"kind": kind, "value": value, "reason": "odd", "by": "operator", "force": true}
				if code, said := c.question("revoke", question); code != messaging.CodeConflict || !strings.Contains(said, "this is the host overlay1") {
					t.Errorf("%s %s of the host: %q %s", kind, value, code, said)
				}
			}
		}
	}
	// What a host is called bans a node at most, where nobody knows of the host.
	if code, said := c.question("revoke", map[string]any{"kind": "identity", "value": "overlay7", "reason": "odd", "by": "operator", "force": true}); code != "" {
		t.Fatal(code, said)
	}
	if entry, err := c.bucket("REVOKED").Get(t.Context(), "identity.overlay7"); err != nil || !strings.Contains(string(entry.Value()), `"purpose":"node"`) {
		t.Errorf("%v, %v", entry, err)
	}
}
