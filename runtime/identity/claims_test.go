package identity

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestNamesOnTheWire holds the names that CONTRACTS fixes, flat in every token.
func TestNamesOnTheWire(t *testing.T) {
	root := &Signer{Key: newKey(t)}
	when := []string{"exp", "iat", "iss", "jti", "nbf", "purpose"}
	join := Claims{
		Subject: "site", OU: "acme", Cell: "c1", CIDR: []string{"10.0.0.0/8"}, Purpose: PurposeJoin, IssuedAt: noon, Expires: noon.Add(time.Hour),
		Join: &JoinClaims{
			URLs: []string{"tls://a:4222"}, SRVDomain: "example.net", Pins: []string{"p"}, Controller: root.Key.Public().String(), MaxUses: 3,
			Identities: "web*", Facts: "/etc/facts.json", Registration: "/etc/r.json", Extensions: json.RawMessage(`{"a":1}`),
		},
	}
	node := nodeClaims(t)
	node.Audience, node.Document = "c1", json.RawMessage(`{"a":1}`)
	limited := Claims{Purpose: PurposeIssuer, PublicKey: node.PublicKey, Limits: cellLimits(), IssuedAt: noon, Expires: noon.Add(time.Hour)}
	for _, tt := range []struct {
		claims Claims
		names  []string
	}{
		{join, []string{"sub", "ou", "cell", "cidr", "urls", "srv_domain", "pins", "controller", "max_uses", "identity", "facts", "registration", "extensions"}},
		{node, []string{"sub", "aud", "identity", "public_key", "ou", "cell", "collectives", "permissions", "cidr", "document"}},
		{limited, []string{"public_key", "limits"}},
	} {
		tt.claims.ID = "id1"
		token := sign(t, root, tt.claims)
		got, err := Inspect(token)
		if err != nil {
			t.Fatal(err)
		}
		tt.claims.Issuer, tt.claims.NotBefore = root.Key.Public().String(), tt.claims.IssuedAt
		if diff := cmp.Diff(&tt.claims, got); diff != "" {
			t.Errorf("%s comes back as (-want +got):\n%s", tt.claims.Purpose, diff)
		}
		names := slices.Sorted(maps.Keys(mapping(t, root, *got)))
		if diff := cmp.Diff(slices.Sorted(slices.Values(append(tt.names, when...))), names); diff != "" {
			t.Errorf("%s has the names (-want +got):\n%s", tt.claims.Purpose, diff)
		}
	}
	if got := mapping(t, root, join)["identity"]; got != "web*" {
		t.Errorf("a join token's identity is %v, not its pattern", got)
	}
	want := map[string]any{"purposes": []any{"node", "join", "assignment"}, "identities": "web*", "cells": []any{"c1"}, "max_lifetime": 86400.0}
	if diff := cmp.Diff(want, mapping(t, root, limited)["limits"]); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestClaimsComeBack(t *testing.T) {
	text := rapid.StringMatching(`[a-z0-9_]{0,8}`)
	times := rapid.Custom(func(r *rapid.T) time.Time { return time.Unix(rapid.Int64Range(1, lastSecond).Draw(r, "at"), 0).UTC() })
	rapid.Check(t, func(r *rapid.T) {
		want := Claims{
			Issuer: text.Draw(r, "iss"), Subject: text.Draw(r, "sub"), Audience: text.Draw(r, "aud"), ID: text.Draw(r, "jti"),
			IssuedAt: times.Draw(r, "iat"), NotBefore: times.Draw(r, "nbf"), Expires: times.Draw(r, "exp"),
			Purpose: Purpose(rapid.SampledFrom([]string{"node", "hello", "issuer"}).Draw(r, "purpose")), OU: text.Draw(r, "ou"), Cell: text.Draw(r, "cell"),
			Identity: Identity(text.Draw(r, "identity")), Document: json.RawMessage(`{"n":` + `7}`),
			Limits: &IssuerLimits{Identities: text.Draw(r, "pattern"), MaxLifetime: time.Duration(rapid.Int64Range(0, 1e9).Draw(r, "life")) * time.Second},
		}
		encoded, err := json.Marshal(&want)
		if err != nil {
			r.Fatal(err)
		}
		var got Claims
		if err := json.Unmarshal(encoded, &got); err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// TestLifetimesAreNeverRoundedToNone: a limit of nothing is no limit.
func TestLifetimesAreNeverRoundedToNone(t *testing.T) {
	text, err := json.Marshal(&Claims{Purpose: PurposeIssuer, Limits: &IssuerLimits{MaxLifetime: time.Millisecond}})
	var got Claims
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || got.Limits.MaxLifetime != time.Second {
		t.Errorf("a lifetime of 1ms comes back as %v, %v", got.Limits, err)
	}
}
