package identity

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func joinClaims() Claims {
	return Claims{
		Purpose: PurposeJoin, Cell: "c1", Audience: "a", IssuedAt: noon, Expires: noon.Add(12 * time.Hour), Collectives: []string{"main"},
		Permissions: map[string]bool{"streams": true}, CIDR: []string{"10.0.0.0/8"}, Document: []byte(`{"cell":"c1"}`),
		Join: &JoinClaims{URLs: []string{"tls://b1"}, Identities: "web*", Pins: []string{"p"}, Extensions: []byte(`{"a":1}`)},
	}
}

// TestRememberedJoinTokens verifies one join token again and again: only its signature is not checked twice.
func TestRememberedJoinTokens(t *testing.T) {
	o := newOverlay(t)
	token := sign(t, o.cell, joinClaims())
	e := Expect{Purposes: []Purpose{PurposeJoin}, Audience: "a", Cell: "c1", Now: noon.Add(time.Hour)}
	first, err := o.verifier.Verify(token, e)
	must(t, err)
	want := first.clone()
	for range 2 { // the first change is to what was read, the second one to what was remembered
		changed, err := o.verifier.Verify(token, e)
		must(t, err)
		if diff := cmp.Diff(want, changed); diff != "" {
			t.Fatalf("(-first +again):\n%s", diff)
		}
		for _, c := range []*Claims{first, changed} {
			c.Join.URLs[0], c.Join.Pins[0], c.Join.Extensions[0], c.Join.Identities = "x", "x", 'x', "x"
			c.Collectives[0], c.CIDR[0], c.Permissions["x"], c.Document[0], c.Chain[0] = "x", "x", true, 'x', "x"
		}
	}
	if n := len(o.verifier.joins.known); n != 1 {
		t.Errorf("%d join tokens are remembered", n)
	}
	for what, tt := range map[string]struct {
		token  string
		change func(e *Expect)
		want   error
	}{
		"another purpose":   {token, func(e *Expect) { e.Purposes = []Purpose{PurposeNode} }, ErrPurpose},
		"another audience":  {token, func(e *Expect) { e.Audience = "b" }, ErrAudience},
		"another cell":      {token, func(e *Expect) { e.Cell = "c2" }, ErrAudience},
		"too early":         {token, func(e *Expect) { e.Now = noon.Add(-time.Minute) }, ErrNotYetValid},
		"another signer":    {token, func(e *Expect) { e.SignedBy = newKey(t).Public() }, ErrIssuer},
		"another signature": {token[:len(token)-8] + "AAAAAAAA", func(*Expect) {}, ErrSignature},
		"too late":          {token, func(e *Expect) { e.Now = noon.Add(13 * time.Hour) }, ErrExpired},
	} {
		changed := e
		tt.change(&changed)
		if _, err := o.verifier.Verify(tt.token, changed); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhatIsNoJoinTokenOfOursIsNotRemembered(t *testing.T) {
	o, stranger := newOverlay(t), newKey(t)
	own := Expect{Purposes: []Purpose{PurposeJoin}, Now: noon.Add(time.Hour)}
	itself := own
	itself.SignedBy = stranger.Public()
	for what, tt := range map[string]struct {
		token  string
		expect Expect
		want   error
	}{
		"a stranger's":              {sign(t, &Signer{Key: stranger}, joinClaims()), own, ErrIssuer},
		"one that proves a key":     {sign(t, &Signer{Key: stranger}, joinClaims()), itself, nil},
		"a node's":                  {sign(t, o.cell, nodeClaims(t)), expectNode(), nil},
		"one for somebody else":     {sign(t, o.cell, joinClaims()), Expect{Purposes: own.Purposes, Audience: "b", Now: own.Now}, ErrAudience},
		"one that is not valid yet": {sign(t, o.cell, joinClaims()), Expect{Purposes: own.Purposes, Now: noon.Add(-time.Hour / 2)}, ErrNotYetValid},
	} {
		if _, err := o.verifier.Verify(tt.token, tt.expect); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", what, err)
		}
		if n := len(o.verifier.joins.known); n != 0 {
			t.Errorf("%s is remembered", what)
		}
	}
}
