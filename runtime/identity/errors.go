package identity

import "errors"

// Causes that callers branch on. Verify wraps one of the first eight; with ErrExpired it also returns the claims, all else
// about which is right.
var (
	ErrMalformed   = errors.New("not a token")
	ErrUnsupported = errors.New("a token of a later release")
	ErrSignature   = errors.New("the signature does not verify")
	ErrIssuer      = errors.New("not signed by an issuer that may sign it")
	ErrPurpose     = errors.New("for another purpose")
	ErrAudience    = errors.New("for somebody else")
	ErrExpired     = errors.New("expired")
	ErrNotYetValid = errors.New("not valid yet")
	ErrDamaged     = errors.New("damaged")
	ErrNoKey       = errors.New("there is no key")
	ErrNothing     = errors.New("there is none")
	ErrRevoked     = errors.New("its key is revoked, so that nobody takes what it signs")
)
