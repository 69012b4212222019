package identity

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// later is a token of a later release: the claims that are added are none of this one.
func later(t testing.TB, s *Signer, c Claims, added map[string]any) string {
	t.Helper()
	m := mapping(t, s, c)
	for name, value := range added {
		m[name] = value
	}
	return forge(t, s.Key, m)
}

func isUnsupported(t *testing.T, token string, err error, names ...string) {
	t.Helper()
	if !errors.Is(err, ErrUnsupported) || errors.Is(err, ErrMalformed) {
		t.Errorf("it is not refused as one of a later release: %v", err)
		return
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q is not named: %v", name, err)
		}
	}
	if shown, err := Inspect(token); !errors.Is(err, ErrUnsupported) || shown == nil || shown.ID != "id1" {
		t.Errorf("it is shown as %+v, %v", shown, err)
	}
}

// A token whose claim crit names what this release does not know is refused by name; other claims that are unknown are passed over.
func TestG49H74ACriticalClaimThatIsNotKnownIsRefusedByName(t *testing.T) {
	o := newOverlay(t)
	for _, added := range []map[string]any{
		{"agents": []any{"puppet.*"}, "assurance": 3}, {"crit": []any{}}, {"crit": []any{"cidr", "permissions", "exp", "limits"}},
	} {
		if c, err := o.verifier.Verify(later(t, o.cell, nodeClaims(t), added), expectNode()); err != nil || c.Identity != "web1.example" {
			t.Errorf("%v: %+v, %v", added, c, err)
		}
	}
	for _, added := range []map[string]any{
		{"crit": []any{"signer"}, "signer": "required"}, {"crit": []any{"cidr", "signer"}}, {"crit": []any{"document.signer"}}, {"crit": []any{"Signer", "signer"}},
	} {
		token := later(t, o.cell, nodeClaims(t), added)
		_, err := o.verifier.Verify(token, expectNode())
		isUnsupported(t, token, err, "signer")
		_, err = o.verifier.Verify(token, Expect{Purposes: []Purpose{PurposeNode}, SignedBy: o.cell.Key.Public(), Now: noon})
		isUnsupported(t, token, err, "signer")
	}
	if _, err := o.verifier.Verify(later(t, o.cell, nodeClaims(t), map[string]any{"crit": "signer"}), expectNode()); !errors.Is(err, ErrMalformed) {
		t.Errorf("a crit that is no list: %v", err)
	}
	join := Claims{Purpose: PurposeJoin, Join: &JoinClaims{Identities: "web1"}, Cell: "c1", IssuedAt: noon, Expires: noon.Add(time.Hour)}
	s, err := OpenStore("")
	if err != nil {
		t.Fatal(err)
	}
	join.Join.Controller = o.root.Key.Public().String()
	if err := s.SetJoinToken(later(t, o.cell, join, map[string]any{"crit": []any{"signer"}})); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Wallet{Store: s}).Verifier(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a node trusts whom a join token names that it does not understand: %v", err)
	}
	header := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims(mapping(t, o.cell, nodeClaims(t))))
	header.Header["crit"], header.Header["quorum"] = []string{"quorum"}, 2
	token, err := header.SignedString(o.cell.Key.private())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.verifier.Verify(token, expectNode()); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "quorum") {
		t.Errorf("a critical header: %v", err)
	}
}

// What an issuer may not is all a limit: who does not know one takes nothing of the issuer, however old what it signs looks. So a signer that is
// required of an issuer's tokens is not got round by a token that does not mention it.
func TestG49H74AnIssuerWithALimitThatIsNotKnownSignsNothing(t *testing.T) {
	o := newOverlay(t)
	certificate := func(added, limits map[string]any) *Signer {
		key := newKey(t)
		m := mapping(t, o.region, Claims{
			Purpose: PurposeIssuer, PublicKey: key.Public().String(), Limits: cellLimits(), IssuedAt: noon.Add(-time.Hour), Expires: noon.Add(90 * 24 * time.Hour),
		})
		delete(m, "chain")
		for name, value := range added {
			m[name] = value
		}
		for name, value := range limits {
			m["limits"].(map[string]any)[name] = value
		}
		return &Signer{Key: key, Chain: append([]string{forge(t, o.region.Key, m)}, o.region.Chain...)}
	}
	if _, err := o.verifier.Verify(sign(t, certificate(map[string]any{"note": "x"}, nil), nodeClaims(t)), expectNode()); err != nil {
		t.Errorf("an issuer with a claim that is not known: %v", err)
	}
	for _, s := range []*Signer{
		certificate(nil, map[string]any{"signer": "required"}), certificate(map[string]any{"crit": []any{"signer"}}, nil), certificate(nil, map[string]any{"Signer": 1}),
	} {
		_, err := o.verifier.Verify(sign(t, s, nodeClaims(t)), expectNode())
		if !errors.Is(err, ErrUnsupported) || !strings.Contains(strings.ToLower(err.Error()), "signer") {
			t.Errorf("what it signs: %v", err)
		}
		if err := s.Permits(nodeClaims(t)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("it is about to sign: %v", err)
		}
		isUnsupported(t, s.Chain[0], err, "igner")
	}
}

// What a later release adds to an assignment is kept through a renewal of its token, until this node is of that release.
func TestH74WhatIsUnknownOfAnAssignmentIsKept(t *testing.T) {
	var a Assignment
	if err := json.Unmarshal([]byte(`{"identity":"web1.example","cell":"c1","urls":[],"token":"x","roots":[],"deadline":{"hours":4}}`), &a); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := OpenStore(dir)
	for _, do := range []func() error{
		func() error { return err }, func() error { return s.Stage(&a) }, func() error { return s.Activate() }, func() error { return s.Commit() },
		func() error { return s.SetToken("y") },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = OpenStore(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Active(); err != nil || got.Token != "y" || string(got.Unknown["deadline"]) != `{"hours":4}` || len(got.Unknown) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
