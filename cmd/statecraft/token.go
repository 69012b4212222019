package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// tokenVerbs make, read and revoke tokens.
type tokenVerbs struct {
	Issue   tokenIssueVerbs  `cmd:"" help:"Sign a token."`
	Inspect tokenInspectVerb `cmd:"" help:"Say what a token holds, and what is wrong with it."`
	Revoke  tokenRevokeVerb  `cmd:"" help:"Revoke a token, a key or a name for good."`
	Revoked tokenRevokedVerb `cmd:"" help:"List what is revoked."`
}

// maxTokenFile bounds what is read of a file or of standard input that is to hold a token, in bytes.
const maxTokenFile = 1 << 20

// refuseTokenItself is the failure of an argument that is a token.
func refuseTokenItself(given string) error {
	if _, err := identity.Inspect(strings.TrimSpace(given)); !isToken(err) {
		return nil
	}
	return usage("write it to a file that others cannot read and name that, or give - and the token on standard input",
		"a token is not taken from the command line, where every user of this system can read it")
}

// givenToken returns the token in a file or a client's folder, or on standard input where - is given. A file has one, and
// the certificates of its issuers after it where it is a certificate itself; or it is a client's context, context.json or nats.json.
func (inv *invocation) givenToken(given string) (string, error) {
	if err := refuseTokenItself(given); err != nil {
		return "", err
	}
	data, err := inv.tokenText(given)
	if err != nil {
		return "", err
	}
	words := strings.Fields(string(data))
	var context struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(data, &context) == nil {
		words = strings.Fields(context.Token)
	}
	if len(words) == 0 {
		return "", fail(exitInvalid, tokenHint, "there is no token in %s", given)
	}
	return words[0], nil
}

// tokenHint says how a token can be given.
const tokenHint = "name a file that holds the token or a client's folder, or give - for standard input"

func (inv *invocation) tokenText(given string) ([]byte, error) {
	if given == "-" {
		data, err := io.ReadAll(io.LimitReader(inv.stdin, maxTokenFile))
		if err != nil {
			return nil, fail(exitFailed, "", "reading the token from standard input: %w", err)
		}
		return data, nil
	}
	from := given
	if isFolder(given) {
		from, _ = overlay.ClientFiles(given)
	}
	data, err := interruptibly(inv.ctx, func() ([]byte, error) {
		f, err := os.Open(from)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxTokenFile))
	})
	switch {
	case err != nil && strings.Count(given, ".") == 2 && !strings.ContainsAny(given, "/ "):
		return nil, notToken(identity.ErrMalformed)
	case err != nil:
		return nil, usage(tokenHint, "reading the token %q: %w", shortened(from), reason(err))
	}
	return data, nil
}

// isToken reports whether what was read is a token: this release may not know all that it asks for.
func isToken(err error) bool { return err == nil || errors.Is(err, identity.ErrUnsupported) }

// notToken is the failure of a text that is to be a token.
func notToken(err error) error {
	hint := "a token has three parts with dots between them; check that it was copied as a whole"
	if !errors.Is(err, identity.ErrMalformed) {
		hint = "" // one of a later release says what to do
	}
	return fail(exitInvalid, hint, "%w", err)
}

// shortened keeps a message short that names what somebody gave.
func shortened(text string) string {
	return diag.Brief(text, 80)
}
