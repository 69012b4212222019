package identity

import (
	"crypto/rsa"
	"errors"
	"fmt"
)

const minSiteKey = 2048 // bits

// site is a key of a site's own login service, which signs with RS256.
type site struct {
	key    *rsa.PublicKey
	limits IssuerLimits
}

// AllowSite lets a site's own login service sign clients' tokens with RS256: those whose iss is issuer. Limits hold as for an issuer,
// but for Purposes, which is client and nothing else. A later call with the same issuer replaces the key. Keys below 2048 bits, and issuers
// that could be taken for a public key of ours, are refused.
func (v *Verifier) AllowSite(issuer string, key *rsa.PublicKey, limits IssuerLimits) error {
	switch {
	case issuer == "" || canonicalKey(issuer):
		return errors.New("trusting a site: its issuer is the text that its tokens have as iss, not a public key")
	case key == nil || key.N == nil || key.N.BitLen() < minSiteKey:
		return fmt.Errorf("trusting the site %s: its RSA key is to have %d bits at least", issuer, minSiteKey)
	}
	limits.Purposes = []Purpose{PurposeClient}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sites == nil {
		v.sites = map[string]*site{}
	}
	v.sites[issuer] = &site{key: key, limits: limits}
	return nil
}

func (v *Verifier) site(issuer string) *site {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.sites[issuer]
}

// permit holds the limits against the claims of a token that the site signed.
func (s *site) permit(c *Claims, about named) error {
	if len(c.Chain) > 0 {
		return refused("a site's token has no chain")
	}
	return s.limits.permit(c, about)
}
