package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Signer signs as somebody: a key and the certificates that let it.
type Signer struct {
	Key   *Key
	Chain []string // the signer's own certificate first; empty for a root or for who signs for itself
}

// Sign completes the claims (Issuer, Chain, and ID, NotBefore where they are empty) and returns the compact JWT, alg EdDSA. IssuedAt and
// Expires are the caller's. Claims that Verify would call malformed are not signed; whether the chain lets the signer sign them is not
// asked: see Permits.
func (s *Signer) Sign(c Claims) (string, error) {
	if _, err := s.complete(&c); err != nil {
		return "", fmt.Errorf("signing a token of purpose %q: %w", c.Purpose, err)
	}
	return s.sign(&c)
}

// issue signs claims that Permits permits, and returns them complete, with the times that the token has.
func (s *Signer) issue(c Claims, find finder) (token string, issued *Claims, err error) {
	if err := s.permitted(&c, find); err != nil {
		return "", nil, err
	}
	if err := c.wholeSeconds(); err != nil {
		return "", nil, err
	}
	token, err = s.sign(&c)
	return token, &c, err
}

func (s *Signer) sign(c *Claims) (string, error) {
	content, err := json.Marshal(toWire(c))
	if err != nil {
		return "", fmt.Errorf("signing a token of purpose %q: %w", c.Purpose, err)
	}
	form := base64.RawURLEncoding
	size := len(header) + form.EncodedLen(len(content)) + len(".") + form.EncodedLen(ed25519.SignatureSize)
	if size > maxToken {
		return "", fmt.Errorf("signing a token of purpose %q: it would have %d bytes, more than %d; hand large things over by digest", c.Purpose, size, maxToken)
	}
	token := form.AppendEncode(append(make([]byte, 0, size), header...), content)
	signature, err := s.Key.SignMessage(token)
	if err != nil {
		return "", fmt.Errorf("signing a token of purpose %q: %w", c.Purpose, err)
	}
	return string(form.AppendEncode(append(token, '.'), signature)), nil
}

// header begins every token that is signed here: {"alg":"EdDSA","typ":"JWT"} in the form of RFC 7515, section 7.1, with the dot behind it.
const header = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9."

// Permits reports why a verifier would not accept the claims from this signer: their form, or the limits of the signer's certificates.
// Errors wrap ErrMalformed or ErrIssuer. It verifies no signature and knows no roots: it is for who is about to sign.
func (s *Signer) Permits(c Claims) error {
	return s.permitted(&c, Inspect)
}

func (s *Signer) permitted(c *Claims, find finder) error {
	about, err := s.complete(c)
	if err != nil {
		return err
	}
	above := *c
	above.Chain = s.Chain // a certificate has none itself
	_, err = above.walk(about, find)
	return err
}

// complete fills in what Sign does, and returns who the claims' document is about.
func (s *Signer) complete(c *Claims) (about named, err error) {
	if s == nil || s.Key == nil {
		return named{}, ErrNoKey
	}
	c.Issuer, c.Chain = s.Key.Public().String(), s.Chain
	if c.Purpose == PurposeIssuer {
		c.Chain = nil
	}
	if c.ID == "" {
		c.ID = rand.Text()
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = c.IssuedAt
	}
	return c.read()
}

// Delegate signs a certificate and returns the signer that it makes of the key. Purpose and PublicKey of the claims are set.
func (s *Signer) Delegate(key *Key, c Claims) (*Signer, error) {
	if key == nil {
		return nil, fmt.Errorf("signing a certificate: %w", ErrNoKey)
	}
	if len(s.Chain) == maxChain {
		return nil, errors.New("signing a certificate: its chain would be too long")
	}
	c.Purpose, c.PublicKey = PurposeIssuer, key.Public().String()
	certificate, err := s.Sign(c)
	if err != nil {
		return nil, err
	}
	return &Signer{Key: key, Chain: slices.Concat([]string{certificate}, s.Chain)}, nil
}
