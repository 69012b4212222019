package identity

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestKeyIsMadeOnce holds that a key is kept only as long as its file says the same.
func TestKeyIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	_, _, err := s.EnsureKey()
	must(t, err)
	first, err := s.Key()
	must(t, err)
	if again, err := s.Key(); err != nil || again != first {
		t.Errorf("the key is made at every call: %v", err)
	}
	other, err := openStore(t, dir).ReplaceKey()
	must(t, err)
	if now, err := s.Key(); err != nil || now.Public() != other.Public() {
		t.Errorf("another process replaced the key: %v, %v", now, err)
	}
	must(t, os.Truncate(filepath.Join(dir, keyFile), 70))
	if _, err := s.Key(); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged file: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, keyFile)))
	if _, err := s.Key(); !errors.Is(err, ErrNoKey) {
		t.Errorf("no file: %v", err)
	}
}

// TestStanding holds each step's standing against the methods that read one thing, and its mark against what changed.
func TestStanding(t *testing.T) {
	for name, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			s, o := openStore(t, dir), newOverlay(t)
			a := &Assignment{Identity: "web1.example", Cell: "c1", Token: sign(t, o.cell, nodeClaims(t))}
			made := func() error { _, _, err := s.EnsureKey(); return err }
			replaced := func() error { _, err := s.ReplaceKey(); return err }
			for _, step := range []struct {
				what    string
				do      func() error
				changes bool
			}{
				{"make a key", made, true}, {"again", made, false}, {"stage", func() error { return s.Stage(a) }, false},
				{"activate", s.Activate, true}, {"commit", s.Commit, false}, {"a token", func() error { return s.SetToken("t") }, true},
				{"roll back", s.Rollback, false}, {"another key", replaced, true}, {"forget", s.Forget, true}, {"again", s.Forget, false},
			} {
				before := s.Mark()
				must(t, step.do())
				now := s.Standing()
				if changed := now.Mark != before; changed != step.changes || now.Mark != s.Mark() {
					t.Errorf("%s: changed is %v", step.what, changed)
				}
				key, keyErr := s.Key()
				active, activeErr := s.Active()
				if now.Key != key || !errors.Is(now.KeyErr, keyErr) || now.Pending != s.Pending() {
					t.Errorf("%s: %+v", step.what, now)
				}
				if diff := cmp.Diff(active, now.Active); diff != "" || (activeErr == nil) != (now.ActiveErr == nil) {
					t.Errorf("%s: %v (-Active +Standing):\n%s", step.what, now.ActiveErr, diff)
				}
			}
		})
	}
}

func TestStandingOfDamage(t *testing.T) {
	dir := t.TempDir()
	s, o := openStore(t, dir), newOverlay(t)
	must(t, s.Stage(&Assignment{Identity: "web1.example", Cell: "c1", Token: sign(t, o.cell, nodeClaims(t))}))
	must(t, s.Activate())
	whole := s.Mark()
	files, err := filepath.Glob(filepath.Join(dir, assignmentPrefix+"*"))
	must(t, err)
	for _, damage := range []struct {
		what string
		do   func() error
	}{
		{"cut", func() error { return os.Truncate(files[0], 80) }},
		{"gone", func() error { return os.Remove(files[0]) }},
	} {
		must(t, damage.do())
		if now := s.Standing(); !errors.Is(now.ActiveErr, ErrDamaged) || now.Active != nil || now.Mark == whole || now.Mark != s.Mark() {
			t.Errorf("%s: %+v", damage.what, now)
		}
	}
}

// TestWalletReadsRootsAnew damages and restores what the wallet's roots came from, after it has read them.
func TestWalletReadsRootsAnew(t *testing.T) {
	dir := t.TempDir()
	w, o := &Wallet{Store: openStore(t, dir)}, newOverlay(t)
	must(t, w.Store.Stage(&Assignment{Identity: "web1.example", Token: "t", Roots: []string{o.root.Key.Public().String()}}))
	must(t, w.Store.Activate())
	v, err := w.Verifier()
	must(t, err)
	files, err := filepath.Glob(filepath.Join(dir, assignmentPrefix+"*"))
	must(t, err)
	content, err := os.ReadFile(files[0])
	must(t, err)
	must(t, os.Truncate(files[0], 80))
	if _, err := w.Verifier(); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged assignment: %v", err)
	}
	must(t, os.WriteFile(files[0], content, 0o600))
	if again, err := w.Verifier(); err != nil || again != v {
		t.Errorf("restored: %v", err)
	}
	must(t, w.Store.Rollback())
	v, err = w.Verifier()
	must(t, err)
	if _, err := v.Verify(sign(t, o.cell, nodeClaims(t)), expectNode()); !errors.Is(err, ErrIssuer) {
		t.Errorf("rolled back, the overlay is still trusted: %v", err)
	}
}

// TestWalletCoherent shares certificates between what trusts different roots, and never trust.
func TestWalletCoherent(t *testing.T) {
	w, o, stranger := &Wallet{}, newOverlay(t), newKey(t)
	claims := nodeClaims(t)
	holder, err := ParsePublicKey(claims.PublicKey)
	must(t, err)
	a := &Assignment{Identity: "web1.example", Cell: "c1", Token: sign(t, o.cell, claims), Roots: []string{o.root.Key.Public().String()}}
	e := Expect{Now: noon.Add(time.Hour)}
	for range 2 {
		c, err := w.Coherent(a, holder, e)
		if err != nil || c.Identity != a.Identity {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	if n := len(w.known.known); n != 2 {
		t.Errorf("%d certificates are remembered, not 2", n)
	}
	a.Roots = []string{stranger.Public().String()}
	if _, err := w.Coherent(a, holder, e); !errors.Is(err, ErrIssuer) {
		t.Errorf("with known certificates and another root: %v", err)
	}
}

// TestWalletIssue holds what is returned against what the token says, and refusals against those of Permits.
func TestWalletIssue(t *testing.T) {
	o := newOverlay(t)
	w := &Wallet{Signers: map[string]*Signer{"cell": o.cell}}
	fine, certificate, cell, late := nodeClaims(t), nodeClaims(t), nodeClaims(t), nodeClaims(t)
	fine.IssuedAt, fine.Expires = fine.IssuedAt.Add(time.Millisecond).Local(), fine.Expires.Add(-time.Millisecond).Local()
	certificate.Purpose, certificate.Limits = PurposeIssuer, cellLimits()
	cell.Cell = "c2"
	late.IssuedAt = time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC)
	late.Expires = late.IssuedAt.Add(2 * time.Hour)
	for range 2 { // the second time with what the first one read
		token, issued, err := w.Issue("cell", fine)
		must(t, err)
		read, err := Inspect(token)
		must(t, err)
		if diff := cmp.Diff(read, issued); diff != "" {
			t.Errorf("(-token +returned):\n%s", diff)
		}
		for what, c := range map[string]Claims{"a certificate": certificate, "another cell": cell} {
			if token, _, err := w.Issue("cell", c); !errors.Is(err, ErrIssuer) || token != "" || !errors.Is(o.cell.Permits(c), ErrIssuer) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	w.Signers["root"] = o.root
	if token, _, err := w.Issue("root", late); !errors.Is(err, ErrMalformed) || token != "" {
		t.Errorf("beyond the year 9999: %v", err)
	}
	if _, _, err := w.Issue("other", fine); !errors.Is(err, ErrNoKey) {
		t.Errorf("no such signer: %v", err)
	}
}
