package broker

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func testKnowledge(t testing.TB) *Knowledge {
	t.Helper()
	return &Knowledge{
		Cell: "c1", Limits: DefaultLimits(), LeafSecret: "the secret", Self: newKey(t).Public(), Revoked: NewRevocations(),
	}
}

// testEvidence is of a node that may come in.
func testEvidence(key identity.PublicKey) Evidence {
	return Evidence{
		Listener: ListenerFleet, Kind: KindClient, Key: key, Signed: true, Remote: netip.MustParseAddr("10.1.2.3"), Now: noon,
		Claims: &identity.Claims{
			ID: "t1", Purpose: identity.PurposeNode, Identity: "n1.example", PublicKey: key.String(), Cell: "c1",
			Collectives: []string{"main", "eu"}, IssuedAt: noon.Add(-time.Hour), Expires: noon.Add(10 * time.Hour),
		},
	}
}

// become makes the evidence that of another purpose.
func become(e *Evidence, p identity.Purpose, rights ...string) {
	e.Claims.Purpose, e.Claims.Permissions, e.Claims.Collectives = p, granted(rights), nil
	switch p {
	case identity.PurposeJoin:
		e.Listener, e.Claims.PublicKey, e.Claims.Identity, e.Claims.Join = ListenerEnrollment, "", "", &identity.JoinClaims{}
	case identity.PurposeClient:
		e.Claims.Identity, e.Claims.Subject = "", "up.bob"
	case identity.PurposeService:
		e.Claims.Identity, e.Claims.Subject = "host1.example", "host1.example"
	}
}

// row is what a decision lets in with.
type row struct {
	Account            string
	Publish, Subscribe []string
	Deadline           time.Time
	Answers            bool
	RenewOnly          bool
	Purpose            identity.Purpose
	Bearer             Bearer
}

func rowOf(d Decision) row {
	bearer := d.Bearer
	bearer.Purpose = "" // it stands beside
	return row{
		Account: d.Account, Publish: d.Permissions.Publish.Allow, Subscribe: d.Permissions.Subscribe.Allow, Deadline: d.Deadline,
		Answers: d.Permissions.Response != nil, RenewOnly: d.RenewOnly, Purpose: d.Purpose, Bearer: bearer,
	}
}

// admission is evidence that lets in, as a change of a node's, and what it lets in with.
type admission struct {
	name   string
	change func(*Evidence)
	want   row
}

// nodesLetIn are admissions of nodes and of who joins.
func nodesLetIn(key identity.PublicKey) []admission {
	K := key.String()
	holder := Bearer{Identity: "n1=example", TokenID: "t1", Key: key}
	return []admission{
		{"a node", func(*Evidence) {}, row{
			AccountFleet, []string{"node.n1=example.out.>"},
			[]string{"node.n1=example.in.>", "_INBOX.n1=example.>", "fleet.specs.>", "fleet.main.>", "fleet.eu.>"},
			noon.Add(10 * time.Hour), true, false, identity.PurposeNode, holder,
		}},
		{"who joins, for an hour at most", func(e *Evidence) { become(e, identity.PurposeJoin) }, row{
			AccountEnrollment, []string{"enroll." + K + ".out.*", "enroll." + K + ".out.*.t1", "enroll." + K + ".out.event.>"},
			[]string{"enroll." + K + ".in.>", "enroll.all.in.>", "_INBOX." + K + ".>"},
			noon.Add(time.Hour), true, false, identity.PurposeJoin, Bearer{TokenID: "t1", Key: key},
		}},
		{"who joins with a token that ends sooner", func(e *Evidence) {
			become(e, identity.PurposeJoin)
			e.Claims.Expires, e.Claims.Cell = noon.Add(time.Minute), ""
		}, row{
			AccountEnrollment, []string{"enroll." + K + ".out.*", "enroll." + K + ".out.*.t1", "enroll." + K + ".out.event.>"},
			[]string{"enroll." + K + ".in.>", "enroll.all.in.>", "_INBOX." + K + ".>"},
			noon.Add(time.Minute), true, false, identity.PurposeJoin, Bearer{TokenID: "t1", Key: key},
		}},
		{"a node whose token ended, to renew", func(e *Evidence) {
			e.Claims.Expires, e.TokenErr = noon.Add(-89*24*time.Hour), fmt.Errorf("verifying: %w", identity.ErrExpired)
		}, row{
			AccountFleet, []string{"node.n1=example.out.renew"}, []string{"_INBOX.n1=example.>"},
			noon.Add(time.Minute), false, true, identity.PurposeNode, holder,
		}},
		{"a node whose token ended within the skew", func(e *Evidence) { e.Claims.Expires = noon }, row{
			AccountFleet, []string{"node.n1=example.out.renew"}, []string{"_INBOX.n1=example.>"},
			noon.Add(time.Minute), false, true, identity.PurposeNode, holder,
		}},
		{"from one of the token's networks", func(e *Evidence) {
			e.Claims.CIDR, e.Remote = []string{"192.168.0.0/16", "10.1.0.0/16"}, netip.MustParseAddr("::ffff:10.1.2.3")
			e.Claims.Collectives, e.Claims.Audience = nil, "c1"
		}, row{
			AccountFleet, []string{"node.n1=example.out.>"}, []string{"node.n1=example.in.>", "_INBOX.n1=example.>", "fleet.specs.>"},
			noon.Add(10 * time.Hour), true, false, identity.PurposeNode, holder,
		}},
	}
}

// othersLetIn are admissions of clients, services and the broker's own.
func othersLetIn(key, self identity.PublicKey) []admission {
	U := key.NKey()
	everything := []string{">"}
	caller := Bearer{Identity: "up=bob", TokenID: "t1", Key: key}
	host := Bearer{Identity: "host1=example", TokenID: "t1", Key: key}
	return []admission{
		{"a client without rights", func(e *Evidence) { become(e, identity.PurposeClient, "unknown") }, row{
			AccountFleet, nil, []string{"_INBOX." + U + ".>"}, noon.Add(10 * time.Hour), false, false, identity.PurposeClient, caller,
		}},
		{"a client with rights", func(e *Evidence) { become(e, identity.PurposeClient, "fleet_view", "fleet_operate", "token_revoke") }, row{
			AccountFleet,
			[]string{
				ServiceSubject(U, "hosts"), ServiceSubject(U, "inventory"), ServiceSubject(U, "nodes"), ServiceSubject(U, "registry"), ServiceSubject(U, "bundle"),
				ServiceSubject(U, "operate"), ServiceSubject(U, "revoke"), ServiceSubject(U, "revoked"),
			},
			[]string{"_INBOX." + U + ".>", "choria.lifecycle.event.>", "choria.machine.>", "overlay.event.>"}, noon.Add(10 * time.Hour), false, false, identity.PurposeClient, caller,
		}},
		{"a client whose right is denied", func(e *Evidence) {
			become(e, identity.PurposeClient)
			e.Claims.Permissions["admin"] = false
		}, row{
			AccountFleet, nil, []string{"_INBOX." + U + ".>"}, noon.Add(10 * time.Hour), false, false, identity.PurposeClient, caller,
		}},
		{"a client who may do everything", func(e *Evidence) { become(e, identity.PurposeClient, "admin") }, row{
			AccountFleet, everything, []string{"_INBOX." + U + ".>", ">"}, noon.Add(10 * time.Hour), false, false, identity.PurposeClient, caller,
		}},
		{"a service of the fleet", func(e *Evidence) { become(e, identity.PurposeService, RightFleetService) }, row{
			AccountFleet, everything, everything, noon.Add(10 * time.Hour), true, false, identity.PurposeService, host,
		}},
		{"a service of enrollment, in-process", func(e *Evidence) {
			become(e, identity.PurposeService, RightEnrollmentService)
			e.Remote = netip.Addr{}
		}, row{
			AccountEnrollment, everything, everything, noon.Add(10 * time.Hour), true, false, identity.PurposeService, host,
		}},
		{"the leafnode of the enrollment listener", func(e *Evidence) {
			*e = Evidence{Listener: ListenerLeaf, Kind: KindLeaf, Secret: "the secret", Remote: netip.MustParseAddr("127.0.0.1"), Now: noon}
		}, row{
			AccountEnrollment, []string{"enroll.>", "_INBOX.>"}, []string{"enroll.>", "_INBOX.>"}, time.Time{}, false, false, "", Bearer{},
		}},
		{"the broker itself", func(e *Evidence) {
			*e = Evidence{Listener: ListenerFleet, Kind: KindClient, Key: self, Signed: true, Now: noon}
		}, row{
			AccountFleet, append(readBucket("REVOKED"), "$KV.REVOKED.>"), []string{"_INBOX." + self.NKey() + ".>", "$KV.REVOKED.>"}, time.Time{}, true, false, "",
			Bearer{Key: self},
		}},
	}
}

func TestDecideLetsIn(t *testing.T) {
	k := testKnowledge(t)
	key := newKey(t).Public()
	for _, tt := range append(nodesLetIn(key), othersLetIn(key, k.Self)...) {
		t.Run(tt.name, func(t *testing.T) {
			e := testEvidence(key)
			tt.change(&e)
			d := Decide(e, k)
			if d.Refused != "" {
				t.Fatalf("refused: %s", d.Refused)
			}
			if diff := cmp.Diff(tt.want, rowOf(d)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			closed(t, d.Permissions)
		})
	}
}

// closed holds permissions against what nats-server takes for everything: nil, and an empty list.
func closed(t *testing.T, p *server.Permissions) {
	t.Helper()
	if p == nil {
		t.Fatal("permissions are nil, which is everything")
	}
	for name, s := range map[string]*server.SubjectPermission{"publish": p.Publish, "subscribe": p.Subscribe} {
		if s == nil || len(s.Allow) == 0 && !slices.Contains(s.Deny, ">") {
			t.Errorf("%s is not said, which is everything", name)
		}
	}
}

// refusal is evidence that is refused, as a change of a node's.
type refusal struct {
	name   string
	change func(*Evidence)
	want   Reason
}

// failed is a token that did not verify.
func failed(cause error) func(*Evidence) {
	return func(e *Evidence) { e.Claims, e.TokenErr = nil, fmt.Errorf("verifying: %w", cause) }
}

// connectionsRefused are refused whatever their token.
func connectionsRefused(k *Knowledge) []refusal {
	return []refusal{
		{"an unknown kind", func(e *Evidence) { e.Kind = "" }, ReasonKind},
		{"a route", func(e *Evidence) { e.Kind = "router" }, ReasonKind},
		{"a leafnode at the fleet listener", func(e *Evidence) { e.Kind, e.Secret = KindLeaf, k.LeafSecret }, ReasonKind},
		{"a leafnode at the enrollment listener", func(e *Evidence) {
			e.Kind, e.Listener, e.Secret = KindLeaf, ListenerEnrollment, k.LeafSecret
		}, ReasonKind},
		{"a client at the leaf listener", func(e *Evidence) { e.Listener = ListenerLeaf }, ReasonKind},
		{"an unknown listener", func(e *Evidence) { e.Listener = "" }, ReasonKind},
		{"no key", func(e *Evidence) { e.Key = identity.PublicKey{} }, ReasonNoKey},
		{"the nonce is not signed", func(e *Evidence) { e.Signed = false }, ReasonSignature},
		{"a leafnode without a secret", leaf("", "127.0.0.1"), ReasonSecret},
		{"a leafnode with another secret", leaf("the secreT", "127.0.0.1"), ReasonSecret},
		{"a leafnode from elsewhere", leaf("the secret", "10.1.2.3"), ReasonSecret},
		{"a leafnode from nowhere", func(e *Evidence) { *e = Evidence{Listener: ListenerLeaf, Kind: KindLeaf, Secret: "the secret"} }, ReasonSecret},
		{"the broker's own key from elsewhere", func(e *Evidence) { e.Key, e.Claims = k.Self, nil }, ReasonNoToken},
		{"the broker's own key at the enrollment listener", func(e *Evidence) {
			e.Key, e.Claims, e.Listener, e.Remote = k.Self, nil, ListenerEnrollment, netip.Addr{}
		}, ReasonNoToken},
		{"the broker's own key, nonce not signed", func(e *Evidence) {
			e.Key, e.Claims, e.Signed, e.Remote = k.Self, nil, false, netip.Addr{}
		}, ReasonSignature},
	}
}

// tokensRefused did not verify.
func tokensRefused() []refusal {
	return []refusal{
		{"no token", func(e *Evidence) { e.Claims = nil }, ReasonNoToken},
		{"not a token", failed(identity.ErrMalformed), ReasonMalformed},
		{"a forged token", failed(identity.ErrSignature), ReasonForged},
		{"an issuer that may not", failed(identity.ErrIssuer), ReasonIssuer},
		{"not a credential", failed(identity.ErrPurpose), ReasonPurpose},
		{"for somebody else", failed(identity.ErrAudience), ReasonAudience},
		{"not yet valid", failed(identity.ErrNotYetValid), ReasonNotYetValid},
		{"expired, without claims", failed(identity.ErrExpired), ReasonExpired},
		{"an unknown error", failed(errors.New("boom")), ReasonMalformed},
		{"claims beside an error", func(e *Evidence) { e.TokenErr = identity.ErrIssuer }, ReasonIssuer},
	}
}

// claimsRefused are of tokens that are right, but not here and now.
func claimsRefused(other identity.PublicKey) []refusal {
	return []refusal{
		{"a join token at the fleet listener", func(e *Evidence) { become(e, identity.PurposeJoin); e.Listener = ListenerFleet }, ReasonPurpose},
		{"a node at the enrollment listener", func(e *Evidence) { e.Listener = ListenerEnrollment }, ReasonPurpose},
		{"a client at the enrollment listener", func(e *Evidence) { become(e, identity.PurposeClient, "admin"); e.Listener = ListenerEnrollment }, ReasonPurpose},
		{"a service at the enrollment listener", func(e *Evidence) {
			become(e, identity.PurposeService, RightEnrollmentService)
			e.Listener = ListenerEnrollment
		}, ReasonPurpose},
		{"an issuer's certificate", func(e *Evidence) { e.Claims.Purpose = identity.PurposeIssuer }, ReasonPurpose},
		{"a message of the handshake", func(e *Evidence) { e.Claims.Purpose = "hello" }, ReasonPurpose},
		{"another's token", func(e *Evidence) { e.Claims.PublicKey = other.String() }, ReasonOtherKey},
		{"a node's token without a key", func(e *Evidence) { e.Claims.PublicKey = "" }, ReasonOtherKey},
		{"another cell's node", func(e *Evidence) { e.Claims.Cell = "c2" }, ReasonCell},
		{"a node of no cell", func(e *Evidence) { e.Claims.Cell = "" }, ReasonCell},
		{"a client of no cell", func(e *Evidence) { become(e, identity.PurposeClient, "admin"); e.Claims.Cell = "" }, ReasonCell},
		{"another cell's join token", func(e *Evidence) { become(e, identity.PurposeJoin); e.Claims.Cell = "c2" }, ReasonCell},
		{"another audience", func(e *Evidence) { e.Claims.Audience = "c2" }, ReasonAudience},
		{"outside of the networks", func(e *Evidence) { e.Claims.CIDR = []string{"192.168.0.0/16"} }, ReasonAddress},
		{"networks that cannot be read", func(e *Evidence) { e.Claims.CIDR = []string{"10.1.2.3", ""} }, ReasonAddress},
		{"networks, in-process", func(e *Evidence) { e.Claims.CIDR, e.Remote = []string{"0.0.0.0/0", "::/0"}, netip.Addr{} }, ReasonAddress},
		{"a service without a right", func(e *Evidence) { become(e, identity.PurposeService, "admin") }, ReasonRights},
		{"a service with both rights", func(e *Evidence) {
			become(e, identity.PurposeService, RightFleetService, RightEnrollmentService)
		}, ReasonRights},
		{"a client that ended", func(e *Evidence) { become(e, identity.PurposeClient, "admin"); e.Claims.Expires = noon }, ReasonExpired},
		{"a service that ended", func(e *Evidence) {
			become(e, identity.PurposeService, RightFleetService)
			e.Claims.Expires, e.TokenErr = noon.Add(-time.Second), identity.ErrExpired
		}, ReasonExpired},
		{"a join token that ended", func(e *Evidence) { become(e, identity.PurposeJoin); e.Claims.Expires = noon }, ReasonExpired},
		{"a node that ended 120 days ago", func(e *Evidence) {
			e.Claims.Expires, e.TokenErr = noon.Add(-120*24*time.Hour), identity.ErrExpired
		}, ReasonExpired},
	}
}

// revokedRefused are of who is revoked. The key and the issuer are.
func revokedRefused(key, issuer identity.PublicKey) []refusal {
	return []refusal{
		{"a revoked token", func(e *Evidence) { e.Claims.ID = "banned" }, ReasonRevoked},
		{"a revoked identity", func(e *Evidence) { e.Claims.Identity = "bad.example" }, ReasonRevoked},
		{"a revoked caller", func(e *Evidence) { become(e, identity.PurposeClient); e.Claims.Subject = "up.mallory" }, ReasonRevoked},
		{"a revoked key", func(e *Evidence) {
			e.Key, e.Claims.PublicKey = key, key.String()
		}, ReasonRevoked},
		{"a revoked key that joins", func(e *Evidence) {
			become(e, identity.PurposeJoin)
			e.Key = key
		}, ReasonRevoked},
		{"of a revoked issuer", func(e *Evidence) { e.Claims.Issuer, e.Claims.Chain = issuer.String(), []string{"certificate"} }, ReasonRevoked},
		{"revoked and ended", func(e *Evidence) { e.Claims.ID, e.Claims.Expires = "banned", noon.Add(-time.Hour) }, ReasonRevoked},
	}
}

func TestD24DecideRefuses(t *testing.T) {
	k := testKnowledge(t)
	key, bannedKey, issuer := newKey(t).Public(), newKey(t).Public(), newKey(t).Public()
	k.Revoked.Add(
		Revocation{Kind: RevokedToken, Value: "banned"}, Revocation{Kind: RevokedIdentity, Value: "bad=example"},
		Revocation{Kind: RevokedIdentity, Value: "up=mallory"},
		Revocation{Kind: RevokedKey, Value: bannedKey.String()}, Revocation{Kind: RevokedKey, Value: issuer.String()},
	)
	for _, tt := range slices.Concat(connectionsRefused(k), tokensRefused(), claimsRefused(newKey(t).Public()), revokedRefused(bannedKey, issuer)) {
		t.Run(tt.name, func(t *testing.T) {
			e := testEvidence(key)
			tt.change(&e)
			d := Decide(e, k)
			if d.Refused != tt.want {
				t.Errorf("refused as %q, want %q", d.Refused, tt.want)
			}
			if d.Account != "" || !d.Deadline.IsZero() || d.RenewOnly {
				t.Errorf("what is refused has %+v", d)
			}
			closed(t, d.Permissions)
			if len(d.Permissions.Publish.Allow)+len(d.Permissions.Subscribe.Allow) > 0 || d.Permissions.Response != nil {
				t.Errorf("what is refused may %+v", d.Permissions)
			}
		})
	}
}

func leaf(secret, from string) func(*Evidence) {
	return func(e *Evidence) {
		*e = Evidence{Listener: ListenerLeaf, Kind: KindLeaf, Secret: secret, Remote: netip.MustParseAddr(from), Now: noon}
	}
}

func TestDecideKnowsNobodyWithoutSecrets(t *testing.T) {
	k := &Knowledge{Cell: "c1", Limits: DefaultLimits()}
	var e Evidence
	leaf("", "127.0.0.1")(&e)
	if d := Decide(e, k); d.Refused != ReasonSecret {
		t.Errorf("a leafnode without a secret, where there is none, is refused as %q", d.Refused)
	}
	e = Evidence{Listener: ListenerFleet, Kind: KindClient, Signed: true}
	if d := Decide(e, k); d.Refused != ReasonNoKey {
		t.Errorf("nobody's key, where the broker has none, is refused as %q", d.Refused)
	}
}

// TestD23InboxesOfOthers holds the inboxes of all kinds against each other: names are chosen by those who ask for a token.
func TestD23InboxesOfOthers(t *testing.T) {
	key := newKey(t).Public()
	names := []identity.Claims{
		{Purpose: identity.PurposeNode, Identity: identity.Identity(key.String())},
		{Purpose: identity.PurposeNode, Identity: "operator"},
		{Purpose: identity.PurposeNode, Identity: identity.Identity(strings.ToLower(key.NKey()))},
		{Purpose: identity.PurposeClient, Subject: "operator"},
		{Purpose: identity.PurposeService, Identity: "operator"},
	}
	nodes := map[string]bool{}
	for _, c := range names {
		prefix := InboxPrefix(&c, key)
		if strings.Count(prefix, ".") != 1 {
			t.Errorf("%q is not of one token", prefix)
		}
		if c.Purpose == identity.PurposeNode {
			nodes[prefix] = true
		} else if nodes[prefix] {
			t.Errorf("a %s and a node share %s", c.Purpose, prefix)
		}
	}
}

func TestRightsAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rights() {
		if r.Name == "" || r.Doc == "" || len(r.Services)+len(r.Publish)+len(r.Subscribe) == 0 || seen[r.Name] {
			t.Errorf("the right %+v", r)
		}
		seen[r.Name] = true
		for _, s := range slices.Concat(r.Publish, r.Subscribe) {
			if !server.IsValidSubject(s) {
				t.Errorf("%s: %q is no subject", r.Name, s)
			}
		}
	}
}
