package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/keyfile"
)

// tokenInspectVerb says what a token holds.
type tokenInspectVerb struct {
	Root  []string `placeholder:"KEY" help:"A public key that is trusted: also check who signed the token."`
	Dir   string   `placeholder:"DIR" help:"Trust the roots of a cell: the folder that overlay init made, or that of a host."`
	Token string   `arg:"" help:"The file that holds the token, a client's folder, or - for standard input."`
}

// tokenInspected is what token inspect --json prints.
type tokenInspected struct {
	ID       string           `json:"id"`
	Purpose  identity.Purpose `json:"purpose"`
	Begins   time.Time        `json:"begins"`
	Expires  time.Time        `json:"expires"`
	Checked  bool             `json:"checked"`  // roots were given, so that it was asked who signed the token
	Verified bool             `json:"verified"` // it was, and nothing is wrong
	Problems []string         `json:"problems"` // empty where nothing is known to be wrong
	Claims   json.RawMessage  `json:"claims"`   // as the token has them
	// Issuers are the claims of the certificates that came with the token, the signer's own first. Those that cannot be read are null.
	Issuers []json.RawMessage `json:"issuers"`
}

// Run prints what the token holds, and fails where roots are given and it does not stand up to them.
func (v *tokenInspectVerb) Run(inv *invocation) error {
	token, err := inv.givenToken(v.Token)
	if err != nil {
		return err
	}
	c, later := identity.Inspect(token)
	if !isToken(later) {
		return notToken(later)
	}
	roots, err := v.roots()
	if err != nil {
		return err
	}
	r, err := inspected(token, c, roots, time.Now())
	if err != nil {
		return err
	}
	if later != nil && !r.Checked { // else the check has found it
		r.Problems = append(r.Problems, strings.TrimPrefix(later.Error(), "reading a token: "))
	}
	if inv.json {
		err = inv.printJSON(r)
	} else {
		inv.inspected(r, c)
	}
	if err == nil && r.Checked && !r.Verified {
		err = fail(exitRefused, "do not use it; ask for another one", "this token is not good: %s", strings.Join(r.Problems, "; "))
	}
	return err
}

// roots are the keys that are trusted, none where nothing is asked for.
func (v *tokenInspectVerb) roots() ([]identity.PublicKey, error) {
	var roots []identity.PublicKey
	for _, text := range v.Root {
		key, err := parsePublicKey("--root", text)
		if err != nil {
			return nil, err
		}
		roots = append(roots, key)
	}
	if v.Dir == "" {
		return roots, nil
	}
	more, err := rootsOf(v.Dir)
	return append(roots, more...), err
}

// rootsOf reads what the hosts below a folder trust; in a cell's folder without hosts, its root key.
func rootsOf(dir string) ([]identity.PublicKey, error) {
	var roots []identity.PublicKey
	for _, pattern := range []string{"roots", "hosts/*/roots"} {
		files, err := fs.Glob(os.DirFS(dir), pattern)
		if err != nil {
			return nil, usage("name the root with --root", "looking for the roots of %s: %w", dir, err)
		}
		for _, file := range files {
			file = filepath.Join(dir, file)
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, fail(exitFailed, "name the root with --root", "reading %s: %w", file, reason(err))
			}
			for _, text := range strings.Fields(string(data)) {
				key, err := identity.ParsePublicKey(text)
				if err != nil {
					return nil, fail(exitInvalid, "name the root with --root", "reading %s: %w", file, err)
				}
				roots = append(roots, key)
			}
		}
	}
	if len(roots) == 0 {
		k, err := keyfile.Public(filepath.Join(dir, "authority", "root.key"))
		if err != nil {
			return nil, usage("name the root with --root", "%s has neither the roots of a host nor a root key: %w", dir, err)
		}
		roots = append(roots, k)
	}
	return roots, nil
}

// inspected says what a token holds and, of what is known without asking a broker, what is wrong with it now.
func inspected(token string, c *identity.Claims, roots []identity.PublicKey, now time.Time) (*tokenInspected, error) {
	claims, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding the claims: %w", err)
	}
	r := &tokenInspected{
		ID: c.ID, Purpose: c.Purpose, Begins: begins(c), Expires: c.Expires, Checked: len(roots) > 0, Problems: []string{},
		Claims: claims, Issuers: []json.RawMessage{},
	}
	for _, text := range c.Chain {
		issuer := json.RawMessage("null")
		if i, err := identity.Inspect(text); err == nil {
			if issuer, err = json.Marshal(i); err != nil {
				return nil, fmt.Errorf("encoding an issuer's claims: %w", err)
			}
		}
		r.Issuers = append(r.Issuers, issuer)
	}
	if r.Checked {
		_, err := identity.NewVerifier(roots...).Verify(token, identity.Expect{Purposes: []identity.Purpose{c.Purpose}, Now: now})
		r.Verified = err == nil
		if err != nil && !errors.Is(err, identity.ErrExpired) && !errors.Is(err, identity.ErrNotYetValid) {
			r.Problems = append(r.Problems, strings.TrimPrefix(err.Error(), "verifying a token: "))
		}
	}
	switch {
	case now.Before(r.Begins):
		r.Problems = append(r.Problems, "it is not valid before "+instant(r.Begins))
	case !now.Before(c.Expires):
		r.Problems = append(r.Problems, "it expired at "+instant(c.Expires))
	}
	return r, nil
}

// begins is when a token is valid from.
func begins(c *identity.Claims) time.Time {
	if c.NotBefore.IsZero() {
		return c.IssuedAt
	}
	return c.NotBefore
}

// inspected prints all claims, those of the issuers, and the verdict.
func (inv *invocation) inspected(r *tokenInspected, c *identity.Claims) {
	inv.table(claimRows(r.Claims))
	for n, text := range c.Chain {
		inv.printf("\nissuer %d, who signed what is above\n", n+1)
		issuer, err := identity.Inspect(text)
		if err != nil {
			inv.printf("  cannot be read: %s\n", printable(err.Error()))
			continue
		}
		if raw, err := json.Marshal(issuer); err == nil {
			inv.table(claimRows(raw))
		}
	}
	inv.printf("\n")
	for _, problem := range r.Problems {
		inv.printf("%s %s\n", inv.paint(red, "wrong:"), printable(problem))
	}
	switch {
	case r.Verified:
		inv.printf("verified: a trusted root stands behind it; whether it is revoked, the brokers know\n")
	case !r.Checked:
		inv.printf("not verified: anybody can write such a token; --root KEY or --dir DIR also checks who signed it\n")
	}
}

// claimRows are the claims by name, times in words. The chain is printed on its own.
func claimRows(raw json.RawMessage) [][]string {
	var claims map[string]any
	if value, err := jsonValue(string(raw)); err == nil {
		claims, _ = value.(map[string]any)
	}
	delete(claims, "chain")
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		rows = append(rows, []string{name, claimText(name, claims[name])})
	}
	return rows
}

func claimText(name string, value any) string {
	if number, ok := value.(json.Number); ok && slices.Contains([]string{"iat", "nbf", "exp"}, name) {
		if seconds, err := number.Int64(); err == nil {
			return instant(time.Unix(seconds, 0))
		}
	}
	if text, ok := value.(string); ok {
		return text
	}
	return valueText(value)
}
