package identity

import (
	"errors"
	"fmt"
	"slices"
)

// finder returns what a certificate says.
type finder func(certificate string) (*Claims, error)

// walk follows the chain from who signed the claims and holds every certificate's limits against them. It returns who signed the last
// certificate, the claims' own signer where there is none. about is who the claims' document is about. Errors wrap ErrIssuer or
// ErrUnsupported.
func (c *Claims) walk(about named, find finder) (last string, err error) {
	if len(c.Chain) > maxChain {
		return "", refused("its chain has %d certificates, more than %d", len(c.Chain), maxChain)
	}
	last = c.Issuer
	for i, text := range c.Chain {
		certificate, err := find(text)
		switch {
		case errors.Is(err, ErrUnsupported):
			return "", fmt.Errorf("certificate %d of its chain: %w", i+1, err)
		case err != nil:
			return "", refused("certificate %d of its chain: %v", i+1, err)
		case certificate.Purpose != PurposeIssuer:
			return "", refused("certificate %d of its chain is a token of purpose %q", i+1, certificate.Purpose)
		case certificate.PublicKey != last:
			return "", refused("certificate %d of its chain is for another key than what it is to vouch for", i+1)
		case certificate.Expires.Before(c.Expires):
			return "", refused("it would outlive certificate %d of its chain", i+1)
		case i > 0 && !slices.Contains(certificate.Limits.Purposes, PurposeIssuer):
			return "", refused("certificate %d of its chain lets nobody name further issuers", i+1)
		}
		if err := certificate.Limits.permit(c, about); err != nil {
			return "", err
		}
		last = certificate.Issuer
	}
	return last, nil
}

// permit holds one issuer's limits against what was signed at the end of its chain. Errors wrap ErrIssuer.
func (l *IssuerLimits) permit(c *Claims, about named) error {
	if !slices.Contains(l.Purposes, c.Purpose) {
		return refused("it may sign %q, not %s", l.Purposes, c.Purpose)
	}
	if c.Purpose == PurposeIssuer {
		return nil // its own limits only ever count together with these
	}
	if err := l.permitIdentity(c, about); err != nil {
		return err
	}
	cells := given(c.Cell, about.cell)
	outside := func(cell string) bool { return !slices.Contains(l.Cells, cell) }
	if len(l.Cells) > 0 && (len(cells) == 0 || slices.ContainsFunc(cells, outside)) {
		return refused("it may sign for the cells %q, not %q", l.Cells, shorten(fmt.Sprint(cells)))
	}
	if l.MaxLifetime > 0 && c.Expires.Sub(c.start()) > l.MaxLifetime {
		return refused("it may sign for %s, not for %s", l.MaxLifetime, c.Expires.Sub(c.start()))
	}
	return nil
}

func (l *IssuerLimits) permitIdentity(c *Claims, about named) error {
	if l.Identities == "" {
		return nil
	}
	names := given(string(c.Identity), about.identity)
	switch c.Purpose {
	case PurposeJoin: // its pattern is to be within ours
		names = []string{c.Join.Identities}
		if c.Join.Identities == "" {
			names = []string{"*"}
		}
	case PurposeClient:
		names = append(names, c.Subject)
	}
	outside := func(name string) bool { return !MatchPattern(l.Identities, name) }
	if len(names) == 0 || slices.ContainsFunc(names, outside) {
		return refused("it may sign for %s, not %q", l.Identities, shorten(fmt.Sprint(names)))
	}
	return nil
}

// given is the texts that are not empty.
func given(texts ...string) []string {
	return slices.DeleteFunc(texts, func(t string) bool { return t == "" })
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrIssuer, fmt.Sprintf(format, args...))
}
