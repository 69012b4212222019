package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// TestRevocationOf: brokers ask for the ids of tokens and the keys of issuers, so that anything else would ban nobody.
func TestRevocationOf(t *testing.T) {
	key := newTestKey(t)
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	k := key.Public().String()
	for purpose, tt := range map[identity.Purpose]struct {
		claims identity.Claims
		want   revocationQuestion
	}{
		identity.PurposeJoin:       {identity.Claims{Join: &identity.JoinClaims{}}, revocationQuestion{Kind: "join", Value: "j1"}},
		identity.PurposeClient:     {identity.Claims{Subject: "alice", PublicKey: k}, revocationQuestion{Kind: "id", Value: "j1"}},
		identity.PurposeNode:       {identity.Claims{Identity: "n1", PublicKey: k}, revocationQuestion{Kind: "id", Value: "j1"}},
		identity.PurposeService:    {identity.Claims{Identity: "n1", PublicKey: k}, revocationQuestion{Kind: "id", Value: "j1"}},
		identity.PurposeIssuer:     {identity.Claims{PublicKey: k, Limits: &identity.IssuerLimits{}}, revocationQuestion{Kind: "issuer", Value: k}},
		identity.PurposeAssignment: {identity.Claims{Document: json.RawMessage(`{}`)}, revocationQuestion{}},
	} {
		c := tt.claims
		c.Purpose, c.ID, c.IssuedAt, c.Expires = purpose, "j1", noon, noon.Add(time.Hour)
		token, err := (&identity.Signer{Key: key}).Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		got := revocationQuestion{}
		err = got.of(token)
		got.Until, got.Force = "", false
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != (tt.want.Kind == "") {
			t.Errorf("%s: %v, -want +got\n%s", purpose, err, diff)
		}
	}
}

// TestRevokingOnesOwnIssuerIsSaid by what brokers ask: not where the key is that of the root, which bans nobody.
func TestRevokingOnesOwnIssuerIsSaid(t *testing.T) {
	root, middle, issuer, holder := newTestKey(t), newTestKey(t), newTestKey(t), newTestKey(t)
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	sign := func(s *identity.Signer, c identity.Claims) string {
		t.Helper()
		c.ID, c.IssuedAt, c.Expires = "j1", noon, noon.Add(time.Hour)
		token, err := s.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	certificate := func(s *identity.Signer, of *identity.Key) string {
		return sign(s, identity.Claims{Purpose: identity.PurposeIssuer, PublicKey: of.Public().String(), Limits: &identity.IssuerLimits{
			Purposes: []identity.Purpose{identity.PurposeIssuer, identity.PurposeClient},
		}})
	}
	above := certificate(&identity.Signer{Key: root}, middle)
	below := certificate(&identity.Signer{Key: middle, Chain: []string{above}}, issuer)
	token := sign(&identity.Signer{Key: issuer, Chain: []string{below, above}}, identity.Claims{
		Purpose: identity.PurposeClient, Subject: "alice.example", PublicKey: holder.Public().String(),
	})
	claims, err := identity.Inspect(token)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{claims: claims}
	for _, tt := range []struct {
		kind  broker.RevocationKind
		value string
		of    identity.Purpose
		bans  bool
	}{
		{broker.RevokedKey, holder.Public().String(), "", true},
		{broker.RevokedKey, issuer.Public().String(), "", true},
		{broker.RevokedKey, middle.Public().String(), "", true},
		{broker.RevokedKey, root.Public().String(), "", false},
		{broker.RevokedToken, "j1", "", true},
		{broker.RevokedClient, "alice=example", identity.PurposeClient, true},
		{broker.RevokedIdentity, "alice=example", "", true},
		{broker.RevokedIdentity, "alice=example", identity.PurposeNode, false},
		{broker.RevokedHost, "alice=example", identity.PurposeService, false},
		{broker.RevokedToken, "alice=example", "", false},
	} {
		if got := m.bans(revokedResult{Kind: tt.kind, Value: tt.value, Purpose: tt.of}); got != tt.bans {
			t.Errorf("%s %s of %q bans its asker: %t", tt.kind, tt.value, tt.of, got)
		}
	}
}

// TestARevocationThatMayBeStoredIsSaid: without an answer it may take effect all the same, and the next step is to run it again.
func TestARevocationThatMayBeStoredIsSaid(t *testing.T) {
	silence := fail(exitUnreachable, "are the hosts running?", "asking: %w", context.DeadlineExceeded)
	for _, err := range []error{&deniedError{service: "revoke", code: messaging.CodeTooLate, text: "it may be"}, silence} {
		f, ok := errors.AsType[*failure]((&tokenRevokeVerb{}).refused(err, revocationQuestion{}, nil))
		if !ok || f.code != exitUnreachable || f.hint != mayBeStored {
			t.Errorf("%v: %+v", err, f)
		}
	}
}
