package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/identity"
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
