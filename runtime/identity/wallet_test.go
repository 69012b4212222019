package identity

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestWalletSigners(t *testing.T) {
	s, enrollment := openStore(t, ""), &Signer{Key: newKey(t)}
	w := &Wallet{Store: s, Signers: map[string]*Signer{"enrollment": enrollment}}
	if _, err := w.Signer(Self); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a key: %v", err)
	}
	k, _, err := s.EnsureKey()
	must(t, err)
	if got, err := w.Signer(Self); err != nil || got.Key.Public() != k.Public() || len(got.Chain) > 0 {
		t.Errorf("self is %v, %v", got, err)
	}
	if got, err := w.Signer("enrollment"); err != nil || got != enrollment {
		t.Errorf("enrollment is %v, %v", got, err)
	}
	if _, err := w.Signer("other"); !errors.Is(err, ErrNoKey) {
		t.Errorf("other: %v", err)
	}
	if _, err := (&Wallet{}).Signer(Self); !errors.Is(err, ErrNoKey) {
		t.Errorf("without a store: %v", err)
	}
	w.Signers[Self] = enrollment
	if got, err := w.Signer(Self); err != nil || got != enrollment {
		t.Errorf("self that is given is %v, %v", got, err)
	}
}

// TestWalletTrust walks through a node's life: who it believes changes with what it has.
func TestWalletTrust(t *testing.T) {
	roots := map[string]*Signer{}
	for _, name := range []string{"built in", "controller", "cell"} {
		roots[name] = &Signer{Key: newKey(t)}
	}
	w := &Wallet{Store: openStore(t, ""), Roots: []PublicKey{roots["built in"].Key.Public()}}
	step := func(what string, trusted ...string) {
		t.Helper()
		v, err := w.Verifier()
		must(t, err)
		if again, err := w.Verifier(); err != nil || again != v {
			t.Errorf("%s: the verifier is another one each time", what)
		}
		for name, s := range roots {
			_, err := v.Verify(sign(t, s, Claims{Purpose: "x", IssuedAt: noon, Expires: noon.Add(time.Hour)}), Expect{Purposes: []Purpose{"x"}, Now: noon})
			if want := slices.Contains(trusted, name); (err == nil) != want {
				t.Errorf("%s: trusts %s: %v", what, name, err)
			}
		}
	}
	step("bare", "built in")
	join := Claims{Purpose: PurposeJoin, IssuedAt: noon, Expires: noon.Add(time.Hour), Join: &JoinClaims{Controller: roots["controller"].Key.Public().String()}}
	must(t, w.Store.SetJoinToken(sign(t, roots["controller"], join)))
	step("with a join token", "built in", "controller")
	a := assignmentNamed("a")
	a.Roots = []string{roots["cell"].Key.Public().String()}
	must(t, w.Store.Stage(a))
	step("staged", "built in", "controller")
	must(t, w.Store.Activate())
	step("assigned", "built in", "cell")
	must(t, w.Store.Rollback())
	step("rolled back", "built in", "controller")
	must(t, w.Store.SetJoinToken("rubbish"))
	if _, err := w.Verifier(); !errors.Is(err, ErrMalformed) {
		t.Errorf("with a join token that is none: %v", err)
	}
}

func TestCoherentAssignments(t *testing.T) {
	o, holder := newOverlay(t), newKey(t)
	c := nodeClaims(t)
	c.PublicKey = holder.Public().String()
	good := Assignment{Identity: c.Identity, Cell: "c1", Roots: []string{o.root.Key.Public().String()}, Token: sign(t, o.cell, c)}
	e := Expect{Now: noon.Add(time.Hour)}
	if err := good.Coherent(holder.Public(), e); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(a *Assignment)
		want   error
	}{
		"another identity": {func(a *Assignment) { a.Identity = "web2" }, ErrAudience},
		"another cell":     {func(a *Assignment) { a.Cell = "c2" }, ErrAudience},
		"no cell":          {func(a *Assignment) { a.Cell = "" }, ErrAudience},
		"another root":     {func(a *Assignment) { a.Roots = []string{newKey(t).Public().String()} }, ErrIssuer},
		"no root":          {func(a *Assignment) { a.Roots = nil }, ErrIssuer},
		"another's token":  {func(a *Assignment) { a.Token = sign(t, o.cell, nodeClaims(t)) }, ErrAudience},
		"no token":         {func(a *Assignment) { a.Token = "" }, ErrMalformed},
		"a certificate":    {func(a *Assignment) { a.Token = o.region.Chain[0] }, ErrPurpose},
	} {
		a := good
		tt.change(&a)
		if err := a.Coherent(holder.Public(), e); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	e.Now = noon.Add(12 * time.Hour)
	if err := good.Coherent(holder.Public(), e); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}

func TestAssignmentOnTheWire(t *testing.T) {
	text, err := json.Marshal(Assignment{Identity: "a", Cell: "c", URLs: []string{"u"}, Token: "t", Roots: []string{"r"}})
	if want := `{"identity":"a","cell":"c","urls":["u"],"token":"t","roots":["r"]}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

// TestAWalletDoesNotSignByAKeyThatIsRevoked: nobody would take it.
func TestAWalletDoesNotSignByAKeyThatIsRevoked(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	revoked := false
	w := &Wallet{Signers: map[string]*Signer{"enrollment": {Key: key}}, Revoked: func(k PublicKey) bool { return revoked && k == key.Public() }}
	issue := func() error {
		_, _, err := w.Issue("enrollment", Claims{Purpose: "challenge", IssuedAt: time.Unix(1e9, 0), Expires: time.Unix(1e9+60, 0)})
		return err
	}
	if err := issue(); err != nil {
		t.Fatal(err)
	}
	if revoked = true; !errors.Is(issue(), ErrRevoked) {
		t.Errorf("it signs: %v", issue())
	}
}
