package main

import (
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestInspectSaysWhatIsWrong: a token is called good only where a trusted root stands behind it and nothing else is wrong.
func TestInspectSaysWhatIsWrong(t *testing.T) {
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	root, stranger, holder := newTestKey(t), newTestKey(t), newTestKey(t)
	client := identity.Claims{
		Purpose: identity.PurposeClient, Subject: "alice", PublicKey: holder.Public().String(), Cell: "main",
		IssuedAt: noon, Expires: noon.Add(time.Hour),
	}
	signed := func(key *identity.Key) string {
		token, err := (&identity.Signer{Key: key}).Sign(client)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := signed(root)
	body, _, _ := strings.Cut(good[strings.Index(good, ".")+1:], ".")
	other := signed(stranger)
	forged := other[:strings.Index(other, ".")+1] + body + other[strings.LastIndex(other, "."):]
	trusted := []identity.PublicKey{root.Public()}
	for name, tt := range map[string]struct {
		token    string
		roots    []identity.PublicKey
		at       time.Time
		verified bool
		problem  string
	}{
		"good":                  {good, trusted, noon, true, ""},
		"no root":               {good, nil, noon, false, ""},
		"expired":               {good, trusted, noon.Add(time.Hour), false, "it expired at 2026-05-04 13:00:00Z"},
		"expired, no root":      {good, nil, noon.Add(2 * time.Hour), false, "it expired at 2026-05-04 13:00:00Z"},
		"early":                 {good, trusted, noon.Add(-time.Second), false, "it is not valid before 2026-05-04 12:00:00Z"},
		"another's":             {other, trusted, noon, false, "does not end at a trusted root"},
		"forged":                {forged, trusted, noon, false, "the signature does not verify"},
		"forged, no root":       {forged, nil, noon, false, ""},
		"another's and expired": {other, trusted, noon.Add(time.Hour), false, "does not end at a trusted root"},
	} {
		c, err := identity.Inspect(tt.token)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := inspected(tt.token, c, tt.roots, tt.at)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		problems := strings.Join(r.Problems, "; ")
		if r.Verified != tt.verified || !strings.Contains(problems, tt.problem) || (tt.problem == "") != (problems == "") {
			t.Errorf("%s: verified %t, wrong: %q; want %t, %q", name, r.Verified, problems, tt.verified, tt.problem)
		}
		out := &quietBuffer{}
		testInvocation(t.Context(), out, out, false).inspected(r, c)
		if strings.Contains(out.String(), "\nverified: ") != tt.verified {
			t.Errorf("%s: it says\n%s", name, out.String())
		}
	}
}

func newTestKey(t *testing.T) *identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}
