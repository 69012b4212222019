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
	known certificates

	mu    sync.RWMutex
	sites map[string]*site // by issuer
}

// NewVerifier trusts the roots.
func NewVerifier(roots ...PublicKey) *Verifier {
	v := &Verifier{roots: make(map[PublicKey]bool, len(roots))}
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
	c, site, err := v.signed(token)
	if err != nil {
		return nil, fmt.Errorf("verifying a token: %w", err)
	}
	if err := v.issued(c, site, e); err != nil {
		return nil, fmt.Errorf("verifying a token: %w", err)
	}
	switch err := c.meets(e); {
	case errors.Is(err, ErrExpired):
		return c, fmt.Errorf("verifying a token: %w", err)
	case err != nil:
		return nil, fmt.Errorf("verifying a token: %w", err)
	}
	return c, nil
}

// signed checks form, algorithm and signature. site is set where the token's algorithm is RS256.
func (v *Verifier) signed(token string) (c *Claims, s *site, err error) {
	w, err := parse(token, func(t *jwt.Token, w *wire) (any, error) {
		if t.Method == jwt.SigningMethodRS256 {
			if s = v.site(w.Issuer); s == nil {
				return nil, refused("no key of the site %q is known", shorten(w.Issuer))
			}
			return s.key, nil
		}
		if !canonicalKey(w.Issuer) {
			return nil, refused("its issuer is not a public key")
		}
		k := fromHex(w.Issuer)
		return ed25519.PublicKey(k[:]), nil
	})
	if err != nil {
		return nil, nil, err
	}
	if c, err = w.claims(); err != nil {
		return nil, nil, err
	}
	return c, s, c.wellFormed()
}

// issued checks that who signed the claims may.
func (v *Verifier) issued(c *Claims, s *site, e Expect) error {
	switch {
	case e.SignedBy != PublicKey{}:
		if s != nil || c.Issuer != e.SignedBy.String() {
			return refused("another key than the one that was to sign it did")
		}
		return nil
	case s != nil:
		return s.permit(c)
	default:
		return v.chained(c, e)
	}
}

// chained follows the chain to a root. An expired certificate has only expired tokens, as no token outlives it.
func (v *Verifier) chained(c *Claims, e Expect) error {
	var read []verified
	last, err := c.walk(func(text string) (*Claims, error) {
		certificate, err := v.certificate(text, e.Now)
		if err != nil {
			return nil, err
		}
		if e.Now.Add(e.Leeway).Before(certificate.begins()) {
			return nil, refused("it is not valid yet")
		}
		read = append(read, verified{text, certificate})
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
func (v *Verifier) certificate(text string, now time.Time) (*Claims, error) {
	if c, ok := v.known.find(text, now); ok {
		return c, nil
	}
	c, s, err := v.signed(text)
	if err == nil && s != nil {
		err = refused("a site names no issuers")
	}
	return c, err
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

// Inspect reads the claims without verifying anything: for display, and for a node's own join token. Errors wrap ErrMalformed.
func Inspect(token string) (*Claims, error) {
	w, err := parse(token, nil)
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	c, err := w.claims()
	if err == nil {
		err = c.wellFormed()
	}
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	return c, nil
}
