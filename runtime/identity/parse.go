package identity

import (
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// keyFor returns the key that a token's signature must verify with: an ed25519.PublicKey or an *rsa.PublicKey.
type keyFor func(t *jwt.Token, w *wire) (any, error)

// parse reads a compact JWT and checks its signature; without key it checks none. Errors wrap ErrMalformed, ErrUnsupported, ErrSignature or are
// key's.
// The library holds the type of the key against the algorithm, so that no key serves two.
func parse(token string, key keyFor) (*wire, error) {
	if len(token) > maxToken {
		return nil, malformed("it has %d bytes, more than %d", len(token), maxToken)
	}
	if !plain(token, "_-.") {
		return nil, malformed("it holds characters that tokens do not have")
	}
	w := &wire{}
	t, err := read(token, w, key)
	if err != nil {
		return nil, err
	}
	return w, headers(t)
}

func read(token string, w *wire, key keyFor) (t *jwt.Token, err error) {
	p := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"EdDSA", "RS256"}))
	var refusal error
	if key == nil {
		t, _, err = p.ParseUnverified(token, w)
	} else {
		t, err = p.ParseWithClaims(token, w, func(t *jwt.Token) (k any, err error) {
			k, refusal = key(t, w)
			return k, refusal
		})
	}
	switch {
	case refusal != nil:
		return nil, refusal
	case errors.Is(err, jwt.ErrTokenMalformed), err != nil && key == nil:
		return nil, malformed("it does not have the form of a signed JWT")
	case err != nil:
		return nil, fmt.Errorf("%w (algorithms are EdDSA, and RS256 of sites)", ErrSignature)
	}
	return t, nil
}
