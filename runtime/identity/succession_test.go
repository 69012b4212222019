package identity

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// succession is a node that has come by a join token, and what takes that token's place.
type succession struct {
	t      *testing.T
	o      *overlay
	joins  *Signer
	first  string
	wallet *Wallet
}

func newSuccession(t *testing.T) *succession {
	t.Helper()
	s := &succession{t: t, o: newOverlay(t)}
	s.joins = s.issuer()
	s.first = s.token(Claims{ID: "first"}, "")
	s.wallet = &Wallet{Store: openStore(t, ""), Roots: []PublicKey{s.o.root.Key.Public()}}
	must(t, s.wallet.Store.SetJoinToken(s.first))
	return s
}

func (s *succession) issuer() *Signer {
	return delegate(s.t, s.o.root, &IssuerLimits{Purposes: []Purpose{PurposeJoin}, Cells: []string{"c1"}}, 90*24*time.Hour)
}

// token is a join token of the cell, which takes the place of others.
func (s *succession) token(c Claims, pattern string, replaces ...string) string {
	s.t.Helper()
	if c.Cell == "" {
		c.Cell = "c1"
	}
	c.Purpose, c.Expires = PurposeJoin, noon.Add(30*24*time.Hour)
	if c.IssuedAt.IsZero() {
		c.IssuedAt = noon
	}
	c.Join = &JoinClaims{URLs: []string{"tls://b1:4223"}, Controller: s.o.root.Key.Public().String(), Identities: pattern, Replaces: replaces}
	return sign(s.t, s.joins, c)
}

// assigned walks an assignment with a join token to its commitment.
func (s *succession) assigned(join string) {
	s.t.Helper()
	a := assignmentNamed("c1")
	a.Join = join
	must(s.t, s.wallet.Store.Stage(a), s.wallet.Store.Activate(), s.wallet.Store.Commit())
}

func (s *succession) has() string {
	s.t.Helper()
	token, err := s.wallet.Store.JoinToken()
	must(s.t, err)
	return token
}

func TestAJoinTokenOfAnAssignmentIsKeptWithIt(t *testing.T) {
	s := newSuccession(t)
	next := s.token(Claims{ID: "next"}, "", "first")
	a := assignmentNamed("c1")
	a.Join = next
	must(t, s.wallet.Store.Stage(a), s.wallet.Store.Activate())
	if s.has() != s.first {
		t.Error("the join token is another one before the assignment is committed")
	}
	must(t, s.wallet.Store.Rollback())
	if s.has() != s.first {
		t.Error("the join token of an assignment that was rolled back is kept")
	}
	s.assigned(next)
	if s.has() != next {
		t.Error("the join token of an assignment that was committed is not kept")
	}
	must(t, s.wallet.Store.SetJoinToken(s.first))
	if s.has() != next {
		t.Error("the file that the node was first started with has put the token back")
	}
	must(t, s.wallet.Store.Forget())
	if s.has() != next {
		t.Error("the join token is forgotten with the assignment")
	}
	other := s.token(Claims{ID: "other"}, "")
	must(t, s.wallet.Store.SetJoinToken(other))
	if s.has() != other {
		t.Error("a join token that was given by hand, and was not replaced, is not used")
	}
	s.assigned(next)
	if s.has() != other {
		t.Error("a join token took the place of one that it does not replace")
	}
}

func TestWhatMayTakeThePlaceOfAJoinToken(t *testing.T) {
	s := newSuccession(t)
	stranger := &succession{t: t, o: newOverlay(t)}
	stranger.joins = stranger.issuer()
	for name, tt := range map[string]struct {
		token, want string
	}{
		"the next one":               {s.token(Claims{ID: "next"}, "", "zero", "first"), ""},
		"the same":                   {s.first, ""},
		"none":                       {"", ""},
		"one that replaces no other": {s.token(Claims{ID: "next"}, ""), "does not take the place"},
		"one that replaces another":  {s.token(Claims{ID: "next"}, "", "zero"), "does not take the place"},
		"for other nodes":            {s.token(Claims{ID: "next"}, "db*", "first"), "other nodes"},
		"of another overlay":         {stranger.token(Claims{ID: "next"}, "", "first"), "root"},
		"no join token":              {sign(t, s.o.cell, nodeClaims(t)), "purpose"},
		"no token":                   {"x", "token"},
	} {
		a := assignmentNamed("c1")
		a.Join = tt.token
		err := s.wallet.CheckJoin(a, Expect{Now: noon})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	a := assignmentNamed("c1")
	a.Join = s.token(Claims{ID: "next"}, "", "first")
	if err := s.wallet.CheckJoin(a, Expect{Now: noon.Add(40 * 24 * time.Hour)}); !errors.Is(err, ErrExpired) {
		t.Errorf("one that has ended: %v", err)
	}
}

func TestWhoIsGivenTheNextJoinToken(t *testing.T) {
	s := newSuccession(t)
	revoked := false
	host := &Wallet{Roots: s.wallet.Roots, Join: s.token(Claims{ID: "next", IssuedAt: noon.Add(time.Hour)}, "web*", "zero", "first")}
	host.Revoked = func(k PublicKey) bool { return revoked && k == s.joins.Key.Public() }
	given := func(id string, node Identity, since time.Time) bool {
		t.Helper()
		token, err := host.SuccessorOf(id, node, since, noon.Add(2*time.Hour))
		if err != nil || token != "" && token != host.Join {
			t.Errorf("%s: %q, %v", id, token, err)
		}
		return token != ""
	}
	for _, tt := range []struct {
		what, id string
		node     Identity
		since    time.Time
		want     bool
	}{
		{"it came before by the token that is replaced", "first", "web1.example", noon, true},
		{"it came by one before that", "zero", "web1.example", noon, true},
		{"it came by another", "other", "web1.example", noon, false},
		{"nobody knows by which", "", "web1.example", noon, false},
		{"it came after the token was replaced", "first", "web1.example", noon.Add(time.Hour + time.Second), false},
		{"the next one is for others", "first", "db1.example", noon, false},
	} {
		if given(tt.id, tt.node, tt.since) != tt.want {
			t.Errorf("%s: it is given the next token: %t, want %t", tt.what, !tt.want, tt.want)
		}
	}
	revoked = true
	if token, err := host.SuccessorOf("first", "web1.example", noon, noon.Add(2*time.Hour)); token != "" || !errors.Is(err, ErrRevoked) {
		t.Errorf("one whose issuer is revoked: %q, %v", token, err)
	}
	if token, err := host.SuccessorOf("first", "web1.example", noon, noon.Add(40*24*time.Hour)); token != "" || !errors.Is(err, ErrExpired) {
		t.Errorf("one that has ended: %q, %v", token, err)
	}
}

func TestAJoinTokenReplacesThoseBeforeTheOneBefore(t *testing.T) {
	s := newSuccession(t)
	token := s.first
	for i := range 20 {
		before, err := Inspect(token)
		must(t, err)
		next := Succeeding(before)
		if next.ID != "" || len(next.Join.Replaces) != min(i+1, maxReplaces) || !slices.Contains(next.Join.Replaces, before.ID) {
			t.Fatalf("after %d rotations: %+v", i+1, next.Join)
		}
		token = sign(t, s.joins, *next)
		now, err := Inspect(token)
		must(t, err)
		if !now.Succeeds(before) || before.Succeeds(now) || now.Succeeds(now) {
			t.Errorf("after %d rotations the next one does not succeed the one before", i+1)
		}
	}
	for _, ids := range [][]string{{""}, {"a b"}, {"x*"}, slices.Repeat([]string{"a"}, maxReplaces+1)} {
		c := Claims{Purpose: PurposeJoin, IssuedAt: noon, Expires: noon.Add(time.Hour), Join: &JoinClaims{Replaces: ids}}
		if _, err := s.joins.Sign(c); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q is signed: %v", ids, err)
		}
	}
}
