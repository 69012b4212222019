package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
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

// A token of a later release is shown with what this one does not know of it, and can be revoked; nothing else is done with it.
func TestH74ATokenOfALaterReleaseIsShownAndRevoked(t *testing.T) {
	root := newTestKey(t)
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	body := part(`{"alg":"EdDSA"}`) + "." + part(`{"iss":"`+root.Public().String()+`","jti":"later","iat":1,"exp":4000000000,"purpose":"client","sub":"alice",`+
		`"public_key":"`+newTestKey(t).Public().String()+`","cell":"main","signer":"required","crit":["signer"]}`)
	token := body + "." + base64.RawURLEncoding.EncodeToString(root.Sign([]byte(body)))
	a := answer(t, &tokenInspectVerb{Token: tokenFile(t, token)}, false)
	if a.wants(t, exitOK, ""); !strings.Contains(a.out, "alice") || !strings.Contains(a.out, "it asks for signer, which this release does not know") {
		t.Errorf("it says\n%s", a.out)
	}
	answer(t, &tokenInspectVerb{Token: tokenFile(t, token), Root: []string{root.Public().String()}}, false).wants(t, exitRefused, "signer")
	var q revocationQuestion
	if err := q.of(token); err != nil || q.Kind != "id" || q.Value != "later" {
		t.Errorf("it is revoked by %+v, %v", q, err)
	}
	if _, err := testInvocation(t.Context(), t.Output(), t.Output(), false).readToken(token); err == nil || !strings.Contains(err.Error(), "command line") {
		t.Errorf("a node takes it from the command line: %v", err)
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

// tokenFile is a file that holds a token.
func tokenFile(t *testing.T, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token.jwt")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
