package broker

import (
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestD26StolenProvisionerKey signs with the key of an overlay's enrollment issuer what it may not. All of it comes in at a broker
// that lets everybody in, and what the issuer may sign comes in here.
func TestD26StolenProvisionerKey(t *testing.T) {
	o := newOverlay(t)
	b, p := o.broker(t), o.permissive(t)
	now := time.Now()
	stolen := o.delegate(t, newKey(t), identity.IssuerLimits{
		Purposes: []identity.Purpose{identity.PurposeNode}, Identities: "web*", Cells: []string{"c1"}, MaxLifetime: 2 * time.Hour,
	})
	thief := &overlay{root: o.root, issuer: stolen, ca: o.ca, tls: o.tls}
	client := identity.Claims{Purpose: identity.PurposeClient, Subject: "web-admin", Permissions: granted([]string{"admin"})}
	service := identity.Claims{Purpose: identity.PurposeService, Subject: "web1", Identity: "web1", Permissions: granted([]string{RightFleetService})}
	below := func() *overlay { // an issuer of its own making
		key := newKey(t)
		s, err := stolen.Delegate(key, identity.Claims{Subject: "issuer", IssuedAt: now.Add(-time.Hour), Expires: now.Add(time.Hour),
			Limits: &identity.IssuerLimits{Purposes: []identity.Purpose{identity.PurposeNode, identity.PurposeClient}}})
		if err != nil {
			t.Fatal(err)
		}
		return &overlay{root: o.root, issuer: s, ca: o.ca, tls: o.tls}
	}()
	for name, l := range map[string]login{
		"a client":                            thief.login(t, client),
		"a service":                           thief.login(t, service),
		"another cell's node":                 thief.node(t, "web1", func(c *identity.Claims) { c.Cell = "c2" }),
		"a node of every cell":                thief.node(t, "web1", func(c *identity.Claims) { c.Cell = "" }),
		"a node of another name":              thief.node(t, "db1"),
		"a node for longer than it may":       thief.node(t, "web1", expiring(now.Add(3*time.Hour))),
		"a node that outlives it":             thief.node(t, "web1", expiring(now.Add(49*time.Hour))),
		"a node of an issuer that it made":    below.node(t, "web1"),
		"a client of an issuer that it made":  below.login(t, client),
		"a client with a chain to the roots":  (&overlay{issuer: &identity.Signer{Key: stolen.Key, Chain: o.issuer.Chain}}).login(t, client),
		"a client without a chain":            (&overlay{issuer: &identity.Signer{Key: stolen.Key}}).login(t, client),
		"a client that its certificate signs": (&overlay{issuer: &identity.Signer{Key: stolen.Key, Chain: append(stolen.Chain, stolen.Chain...)}}).login(t, client),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := o.dial(t, p.ClientURL(), l); err != nil {
				t.Fatalf("not even a broker that lets everybody in does: %v", err)
			}
			if _, err := o.dial(t, b.ClientURL(), l); err == nil {
				t.Error("it comes in")
			}
		})
	}
	joins := thief.join(t)
	if _, err := o.dial(t, p.EnrollmentURL(), joins); err != nil {
		t.Fatal(err)
	}
	if _, err := o.dial(t, b.EnrollmentURL(), joins); err == nil {
		t.Error("a join token comes in")
	}
	web := thief.node(t, "web1")
	conn := o.connect(t, b.ClientURL(), web)
	b.Revoke(Revocation{Kind: RevokedKey, Value: stolen.Key.Public().String()})
	await(t, "what the stolen key signed ends with it", conn.IsClosed)
	if _, err := o.dial(t, b.ClientURL(), thief.node(t, "web2")); err == nil {
		t.Error("the stolen key still signs")
	}
	if _, err := o.dial(t, b.ClientURL(), o.node(t, "web1")); err != nil {
		t.Errorf("what another key signed ended, too: %v", err)
	}
}
