package identity

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) *Key {
	t.Helper()
	k, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// overlay is a root, an issuer of the cell c1 that may enrol nodes named web*, and one below it.
type overlay struct {
	root, region, cell *Signer
	verifier           *Verifier
}

func cellLimits() *IssuerLimits {
	return &IssuerLimits{
		Purposes: []Purpose{PurposeNode, PurposeJoin, PurposeAssignment}, Identities: "web*", Cells: []string{"c1"}, MaxLifetime: 24 * time.Hour,
	}
}

func newOverlay(t testing.TB) *overlay {
	t.Helper()
	o := &overlay{root: &Signer{Key: newKey(t)}}
	o.verifier = NewVerifier(o.root.Key.Public())
	o.region = delegate(t, o.root, &IssuerLimits{
		Purposes: []Purpose{PurposeIssuer, PurposeNode, PurposeJoin, PurposeAssignment, PurposeService}, MaxLifetime: 48 * time.Hour,
	}, 365*24*time.Hour)
	o.cell = delegate(t, o.region, cellLimits(), 90*24*time.Hour)
	return o
}

func delegate(t testing.TB, by *Signer, limits *IssuerLimits, lifetime time.Duration) *Signer {
	t.Helper()
	s, err := by.Delegate(newKey(t), Claims{Subject: "issuer", IssuedAt: noon.Add(-time.Hour), Expires: noon.Add(lifetime), Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func nodeClaims(t testing.TB) Claims {
	return Claims{
		Subject: "web1.example", Purpose: PurposeNode, Identity: "web1.example", PublicKey: newKey(t).Public().String(), Cell: "c1",
		OU: "acme", Collectives: []string{"mcollective"}, Permissions: map[string]bool{"streams": true}, CIDR: []string{"10.0.0.0/8"},
		IssuedAt: noon, Expires: noon.Add(12 * time.Hour),
	}
}

func sign(t testing.TB, s *Signer, c Claims) string {
	t.Helper()
	token, err := s.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func expectNode() Expect {
	return Expect{Purposes: []Purpose{PurposeNode}, Cell: "c1", Now: noon.Add(time.Hour)}
}

// forge signs anything at all, as an attacker who has a key would: mapping is the claims as JSON.
func forge(t testing.TB, k *Key, mapping map[string]any) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims(mapping)).SignedString(k.private())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// mapping is the claims as JSON, complete as the signer would sign them.
func mapping(t testing.TB, s *Signer, c Claims) map[string]any {
	t.Helper()
	c.Issuer, c.Chain, c.ID = s.Key.Public().String(), s.Chain, "id1"
	if c.NotBefore.IsZero() {
		c.NotBefore = c.IssuedAt
	}
	text, err := json.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}
