// Package identity holds who somebody is: names, ed25519 keys, the tokens (JWT) that issuers sign for them, the
// certificates that limit the issuers, and a node's store of all that. It is a leaf: watchers, the broker and the
// command line import it, and it opens no connection. Time is always given by the caller.
package identity

import (
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// Identity names a node, a host, a person or a program: [a-z0-9]([a-z0-9._-]*[a-z0-9])?, at most 253 characters.
type Identity string

const maxIdentity = 253

// Parse checks the form of an identity.
func Parse(text string) (Identity, error) {
	if text == "" || len(text) > maxIdentity {
		return "", fmt.Errorf("an identity has 1 to %d characters, not %d", maxIdentity, len(text))
	}
	for i := range len(text) {
		inside := i > 0 && i < len(text)-1
		if c := text[i]; !isLowerOrDigit(c) && (!inside || c != '.' && c != '_' && c != '-') {
			return "", fmt.Errorf("%q is no identity: write lower-case letters, digits and, inside of it, dots, dashes and underscores", shorten(text))
		}
	}
	return Identity(text), nil
}

func isLowerOrDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// Token is the identity as one token of a subject or key: "." is written as "=".
func (i Identity) Token() string { return strings.ReplaceAll(string(i), ".", "=") }

// FromToken reads what Token wrote.
func FromToken(token string) (Identity, error) {
	if strings.Contains(token, ".") {
		return "", fmt.Errorf("%q is several tokens: an identity's dots are written as =", shorten(token))
	}
	return Parse(strings.ReplaceAll(token, "=", "."))
}

// shorten cuts a text of others for a message.
func shorten(text string) string {
	return diag.Brief(text, 80)
}
