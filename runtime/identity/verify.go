package identity

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Verifier checks tokens against roots. It is safe for concurrent use and remembers certificates that it has verified (bounded).
type Verifier struct {
	roots map[PublicKey]bool
	known *Certificates
	joins Certificates // tokens of purpose join, which a whole fleet comes with

	mu    sync.RWMutex
	sites map[string]*site // by issuer
}

// NewVerifier trusts the roots.
func NewVerifier(roots ...PublicKey) *Verifier {
	return verifierThatKnows(&Certificates{}, roots)
}

// verifierThatKnows shares remembered certificates with other verifiers: they say that a signature verifies, and nothing of trust.
func verifierThatKnows(known *Certificates, roots []PublicKey) *Verifier {
	v := &Verifier{roots: make(map[PublicKey]bool, len(roots)), known: known}
	for _, root := range roots {
		v.roots[root] = true
	}
	return v
}

// Expect is what a token must be.
type Expect struct {
	Purposes []Purpose // one of these; none is none
	Audience string    // "" does not ask
	Cell     string    // "" does not ask; a token that names no cell is for none
	SignedBy PublicKey // zero: an issuer that chains to a root. Set: this very key signs for itself (proofs of nodes)
	Now      time.Time
	Leeway   time.Duration // of nbf and exp
}

// Verify checks form, algorithm (EdDSA; RS256 only for clients of a registered site key), signature, chain with every limit of every issuer,
// purpose, audience, cell and times, in this order.
func (v *Verifier) Verify(token string, e Expect) (*Claims, error) {
	r, err := v.reading(token, e.Now)
	if err != nil {
		return nil, fmt.Errorf("verifying a token: %w", err)
	}
	if err := v.issued(r, e); err != nil {
		return nil, fmt.Errorf("verifying a token: %w", err)
	}
	switch err := r.claims.meets(e); {
	case errors.Is(err, ErrExpired):
		return r.claims, fmt.Errorf("verifying a token: %w", err)
	case err != nil:
		return nil, fmt.Errorf("verifying a token: %w", err)
	}
	if r.claims.Purpose == PurposeJoin && r.site == nil && !r.remembered && e.SignedBy == (PublicKey{}) {
		v.joins.remember([]verified{{token, r.claims.clone()}})
	}
	return r.claims, nil
}

// reading is a token whose form, algorithm and signature are right.
type reading struct {
	claims     *Claims
	about      named // who its document is about
	site       *site // where the algorithm is RS256
	remembered bool  // it was verified before
}

// reading checks form, algorithm and signature, unless it did so before: of a key that is in the token itself, they stay right.
func (v *Verifier) reading(token string, now time.Time) (r reading, err error) {
	if c, ok := v.joins.find(token, now); ok {
		about, err := c.named()
		return reading{claims: c.clone(), about: about, remembered: true}, err
	}
	return v.signed(token)
}

// signed checks form, algorithm and signature.
func (v *Verifier) signed(token string) (r reading, err error) {
	w, err := parse(token, func(t *jwt.Token, w *wire) (any, error) {
		if t.Method == jwt.SigningMethodRS256 {
			if r.site = v.site(w.Issuer); r.site == nil {
				return nil, refused("no key of the site %q is known", shorten(w.Issuer))
			}
			return r.site.key, nil
		}
		if !canonicalKey(w.Issuer) {
			return nil, refused("its issuer is not a public key")
		}
		k := fromHex(w.Issuer)
		return ed25519.PublicKey(k[:]), nil
	})
	if err != nil {
		return reading{}, err
	}
	if r.claims, err = w.claims(); err != nil {
		return reading{}, err
	}
	r.about, err = r.claims.read()
	return r, err
}

// issued checks that who signed the claims may.
func (v *Verifier) issued(r reading, e Expect) error {
	switch {
	case e.SignedBy != PublicKey{}:
		if r.site != nil || r.claims.Issuer != e.SignedBy.String() {
			return refused("another key than the one that was to sign it did")
		}
		return nil
	case r.site != nil:
		return r.site.permit(r.claims, r.about)
	default:
		return v.chained(r, e)
	}
}

// chained follows the chain to a root. An expired certificate has only expired tokens, as no token outlives it.
func (v *Verifier) chained(r reading, e Expect) error {
	var read []verified
	last, err := r.claims.walk(r.about, func(text string) (*Claims, error) {
		certificate, known, err := v.certificate(text, e.Now)
		if err != nil {
			return nil, err
		}
		if e.Now.Add(e.Leeway).Before(certificate.begins()) {
			return nil, refused("it is not valid yet")
		}
		if !known {
			read = append(read, verified{text, certificate})
		}
		return certificate, nil
	})
	if err != nil {
		return err
	}
	if root, err := ParsePublicKey(last); err != nil || !v.roots[root] {
		return refused("its chain does not end at a trusted root")
	}
	v.known.remember(read)
	return nil
}

// certificate returns the claims of a certificate whose own signature verifies; whether its signer may sign is the chain's matter.
func (v *Verifier) certificate(text string, now time.Time) (c *Claims, known bool, err error) {
	if c, ok := v.known.find(text, now); ok {
		return c, true, nil
	}
	r, err := v.signed(text)
	if err == nil && r.site != nil {
		err = refused("a site names no issuers")
	}
	return r.claims, false, err
}

// meets checks purpose, audience, cell and times.
func (c *Claims) meets(e Expect) error {
	switch {
	case !slices.Contains(e.Purposes, c.Purpose):
		return fmt.Errorf("it is of purpose %s, not %q: %w", shorten(string(c.Purpose)), e.Purposes, ErrPurpose)
	case e.Audience != "" && c.Audience != e.Audience:
		return fmt.Errorf("its audience is %q: %w", shorten(c.Audience), ErrAudience)
	case e.Cell != "" && c.Cell != e.Cell:
		return fmt.Errorf("its cell is %q, not %q: %w", shorten(c.Cell), e.Cell, ErrAudience)
	case e.Now.Add(e.Leeway).Before(c.begins()):
		return fmt.Errorf("it begins at %s: %w; compare the clocks of both sides", c.begins().Format(time.RFC3339), ErrNotYetValid)
	case !e.Now.Add(-e.Leeway).Before(c.Expires):
		return fmt.Errorf("it ended at %s: %w", c.Expires.Format(time.RFC3339), ErrExpired)
	}
	return nil
}

// Inspect reads the claims without verifying anything: for display, and for a node's own join token. Errors wrap ErrMalformed, or
// ErrUnsupported: with that there are claims, as far as this release knows them, for display and revocation.
func Inspect(token string) (*Claims, error) {
	w, err := parse(token, nil)
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	c, later := w.claims()
	if later != nil && !errors.Is(later, ErrUnsupported) {
		return nil, fmt.Errorf("reading a token: %w", later)
	}
	if err := c.wellFormed(); err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	if later != nil {
		return c, fmt.Errorf("reading a token: %w", later)
	}
	return c, nil
}
