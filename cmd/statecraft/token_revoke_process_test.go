package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	hostcell "github.com/statecraft-io/statecraft/watchers/cell"
	"github.com/statecraft-io/statecraft/watchers/keyvalue"
)

// revoker is a client of a hosted cell that may revoke, and nothing else.
func (c *fleetCell) revoker(t *testing.T) contextFlags {
	t.Helper()
	until(t, func() bool {
		cells, err := c.streams().KeyValue(t.Context(), "CELLS")
		if err == nil {
			_, err = cells.Get(t.Context(), "host.overlay1")
		}
		return err == nil
	})
	return contextFlags{As: c.client("revoker", "token_revoke")}
}

// TestH69TokenRevokeEndsWhoItNames revokes by a service of a host, as a client that may do nothing else, and lists it.
func TestH69TokenRevokeEndsWhoItNames(t *testing.T) {
	c := newHostedCell(t)
	as := c.revoker(t)
	victim := contextFlags{As: c.client("victim", "fleet_view")}
	answer(t, &tokenRevokedVerb{as}, false).wants(t, exitOK, "nothing is revoked")
	var r revokedResult
	answer(t, &tokenRevokeVerb{contextFlags: as, Token: victim.As, Reason: "lost"}, true).decode(t, &r)
	if r.Kind != broker.RevokedToken || r.Value == "" || r.Reason != "lost" || r.By != "revoker" || r.At.IsZero() || r.Already || r.Until == "" {
		t.Errorf("revoked: %+v", r)
	}
	until(t, func() bool { return answer(t, &fleetLsVerb{contextFlags: victim}, false).code == exitRefused })
	answer(t, &tokenRevokeVerb{contextFlags: as, Token: victim.As, Reason: "again"}, true).decode(t, &r)
	if !r.Already || r.Reason != "lost" {
		t.Errorf("revoked a second time: %+v", r)
	}
	c.record("n1.example", nodeFields("n1.example", "active"))
	for _, tt := range []struct {
		key string
		tokenRevokeVerb
	}{
		{"id.abc", tokenRevokeVerb{ID: "abc", Force: true}},
		{"id.T1", tokenRevokeVerb{ID: "T1"}},
		{"identity.n1=example", tokenRevokeVerb{Identity: "n1.example"}},
		{"key." + otherKey, tokenRevokeVerb{Key: otherKey}},
		{"client.bob", tokenRevokeVerb{Client: "bob", Force: true}},
	} {
		tt.contextFlags, tt.Reason = as, "test"
		answer(t, &tt.tokenRevokeVerb, false).wants(t, exitOK, "revoked "+strings.ReplaceAll(strings.Replace(tt.key, ".", " ", 1), "=", "."))
	}
	var list revokedList
	answer(t, &tokenRevokedVerb{as}, true).decode(t, &list)
	var keys []string
	for _, one := range list.Revoked {
		keys = append(keys, string(one.Kind)+"."+one.Value+" "+string(one.Purpose))
		if one.By != "revoker" || one.At.IsZero() || one.Reason == "" {
			t.Errorf("listed: %+v", one)
		}
	}
	want := []string{"client.bob client", "id.T1 node", "id.abc ", "identity.n1=example node", "key." + otherKey + " node"}
	if got := slices.DeleteFunc(keys, func(k string) bool { return strings.HasPrefix(k, "id."+r.Value) }); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	answer(t, &tokenRevokedVerb{as}, false).wants(t, exitOK, "KIND", "n1.example", "revoker", "lost")
	answer(t, &tokenRevokedVerb{contextFlags{As: c.client("viewer", "fleet_view")}}, false).wants(t, exitRefused, "--right token_revoke")
}

// TestH69WhatNobodyHasIsNotRevoked, unless that is what is meant; nor is a host by accident.
func TestH69WhatNobodyHasIsNotRevoked(t *testing.T) {
	c := newHostedCell(t)
	as := c.revoker(t)
	c.record("overlay9", nodeFields("overlay9", "active"))
	for name, tt := range map[string]struct {
		tokenRevokeVerb
		exit int
		says []string
	}{
		"a node":                             {tokenRevokeVerb{Node: "n9"}, exitFailed, []string{"no node of the cell is called n9", "--force"}},
		"a name":                             {tokenRevokeVerb{Identity: "n9"}, exitFailed, []string{"no node or host of the cell is called n9"}},
		"a host":                             {tokenRevokeVerb{Host: "n9"}, exitFailed, []string{"no host of the cell is called n9"}},
		"a token":                            {tokenRevokeVerb{ID: "t9"}, exitFailed, []string{"no node and no host of the cell has this token"}},
		"a key":                              {tokenRevokeVerb{Key: strings.Repeat("7", 64)}, exitFailed, []string{"has this key"}},
		"a client":                           {tokenRevokeVerb{Client: "bob"}, exitFailed, []string{"keeps no list of its clients"}},
		"a host by its name":                 {tokenRevokeVerb{Identity: "overlay1"}, exitUsage, []string{"this is the host overlay1", "--host NAME, or --yes"}},
		"a host's key":                       {tokenRevokeVerb{Key: hostKey(t, c)}, exitUsage, []string{"this is the host overlay1"}},
		"a host's issuer":                    {tokenRevokeVerb{Token: filepath.Join(c.dir, "hosts", "overlay1", "issuers", "enrollment.jwt")}, exitUsage, []string{"this is the host overlay1"}},
		"a host's key in capitals, by force": {tokenRevokeVerb{Key: strings.ToUpper(hostKey(t, c)), Force: true}, exitUsage, []string{"this is the host overlay1"}},
		"the cell's root, by force":          {tokenRevokeVerb{Key: strings.ToUpper(rootKey(t, c)), Force: true}, exitUsage, []string{"bans nobody", "make a new cell"}},
		"a node in capitals":                 {tokenRevokeVerb{Node: "N9", Force: true}, exitUsage, []string{"--node: \"N9\" is no identity"}},
		"an id that is too long":             {tokenRevokeVerb{ID: strings.Repeat("a", 129), Force: true}, exitUsage, []string{"1 to 128 letters"}},
		"a client with a space":              {tokenRevokeVerb{Client: "b ob", Force: true}, exitUsage, []string{"is no client"}},
		"a name that is too long":            {tokenRevokeVerb{Node: "n1", Reason: strings.Repeat("x", 2000)}, exitUsage, []string{"nothing is revoked"}},
	} {
		tt.contextFlags = as
		if tt.Reason == "" {
			tt.Reason = "test"
		}
		a := answer(t, &tt.tokenRevokeVerb, false)
		if a.wants(t, tt.exit, tt.says...); t.Failed() {
			t.Fatalf("%s: %v", name, a)
		}
	}
	// An administrator sees which name may have been meant.
	answer(t, &tokenRevokeVerb{contextFlags: contextFlags{As: c.admins}, Node: "overlay8", Reason: "test"}, false).wants(t, exitFailed, "did you mean overlay9?")
	var list revokedList
	if answer(t, &tokenRevokedVerb{as}, true).decode(t, &list); len(list.Revoked) > 0 {
		t.Errorf("revoked: %+v", list.Revoked)
	}
	// A node that has the name of a host, as releases before this one let it take, is revoked without the host.
	c.record("overlay1", nodeFields("overlay1", "active"))
	answer(t, &tokenRevokeVerb{contextFlags: as, Identity: "overlay1", Reason: "test", Yes: true}, false).wants(t, exitUsage, "a node and a host are called overlay1")
	answer(t, &tokenRevokeVerb{contextFlags: as, Node: "overlay1", Reason: "it took the name of a host"}, false).wants(t, exitOK, "revoked identity overlay1")
	answer(t, &tokenRevokedVerb{as}, false).wants(t, exitOK, "overlay1")
	// The last, as it ends the only host, whose answer may not come any more.
	answer(t, &tokenRevokeVerb{contextFlags: as, Host: "overlay1", Reason: "stolen"}, false).wants(t, exitUsage, "the last host of the cell", "--yes")
	answer(t, &tokenRevokeVerb{contextFlags: as, Host: "overlay1", Reason: "stolen", Yes: true}, false)
	until(t, func() bool {
		return strings.Contains(read(t, filepath.Join(c.dir, "hosts", "overlay1", "revoked")), `"key":"host.overlay1"`)
	})
	until(t, func() bool {
		of, err := c.host.Certificates()
		return err == nil && slices.Contains(of, hostcell.Certificate{Name: hostcell.HostName, Revoked: true})
	})
}

// rootKey is the public key of the cell's root.
func rootKey(t *testing.T, c *fleetCell) string {
	t.Helper()
	key, err := identity.LoadKey(filepath.Join(c.dir, "authority", "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	return key.Public().String()
}

func hostKey(t *testing.T, c *fleetCell) string {
	t.Helper()
	cells, err := c.streams().KeyValue(t.Context(), "CELLS")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := cells.Get(t.Context(), "host.overlay1")
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Keys map[string]string }
	if err := json.Unmarshal(entry.Value(), &said); err != nil || len(said.Keys) != 3 {
		t.Fatalf("%s, %v", entry.Value(), err)
	}
	return said.Keys["host"]
}

// TestH69ABucketOfRevocationsThatIsFull fills it: its last fifth is for admins, and where it takes nothing more that is said.
func TestH69ABucketOfRevocationsThatIsFull(t *testing.T) {
	c := newHostedCell(t)
	as, admin := c.revoker(t), contextFlags{As: c.admins}
	js := c.streams()
	s, err := js.Stream(t.Context(), "KV_REVOKED")
	if err != nil {
		t.Fatal(err)
	}
	bounded := s.CachedInfo().Config
	bounded.MaxBytes = 20_000
	if _, err := js.UpdateStream(t.Context(), bounded); err != nil {
		t.Fatal(err)
	}
	fill := func(key string, size int) error {
		_, err := js.Publish(t.Context(), "$KV.REVOKED.filler."+key, make([]byte, size))
		return err
	}
	for i := range 17 {
		if err := fill(strconv.Itoa(i), 1000); err != nil {
			t.Fatal(err)
		}
	}
	answer(t, &tokenRevokeVerb{contextFlags: as, ID: "t1", Force: true, Reason: "test"}, false).wants(t, exitFailed, "nothing is revoked", "80 %", "right admin", "stream_bytes")
	answer(t, &tokenRevokeVerb{contextFlags: admin, ID: "t1", Force: true, Reason: "test"}, false).wants(t, exitOK, "revoked id t1")
	for i, size := 100, 1000; size > 0; i++ {
		if err := fill(strconv.Itoa(i), size); keyvalue.IsFull(err) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	answer(t, &tokenRevokeVerb{contextFlags: admin, ID: "t2", Force: true, Reason: "test"}, false).wants(t, exitFailed, "the bucket REVOKED is full", "counts at the hosts that are there", "stream_bytes")
	until(t, func() bool {
		a := answer(t, &fleetHostsVerb{admin}, false)
		return a.code == exitPartial && strings.Contains(a.out+a.errs, "KV_REVOKED has ")
	})
}
