package identity

import (
	"encoding/json"
	"slices"
	"strings"
)

const (
	maxToken = 32 << 10
	maxChain = 4
	maxID    = 128
)

// wellFormed reports what no token may be, whoever signed it. What becomes part of a subject or a key is held to characters that mean
// nothing there, and keys to one way of writing them, so that nothing slips past a permission or a revocation. Errors wrap ErrMalformed.
func (c *Claims) wellFormed() error {
	_, err := c.read()
	return err
}

// read is wellFormed, and returns who the document is about: documents may be large, so that they are read once.
func (c *Claims) read() (about named, err error) {
	if err := c.formed(); err != nil {
		return named{}, err
	}
	if err := c.fitsPurpose(); err != nil {
		return named{}, err
	}
	return c.agrees()
}

// formed holds what tokens of all purposes have.
func (c *Claims) formed() error {
	switch {
	case c.Purpose == "":
		return malformed("it has no purpose")
	case !tokenID(c.ID):
		return malformed("its id is to be 1 to %d of A-Z, a-z, 0-9, _, = and -", maxID)
	case c.start().IsZero() || c.Expires.IsZero():
		return malformed("it does not say from when until when it is valid")
	case !c.Expires.After(c.start()):
		return malformed("it ends before it begins")
	case c.PublicKey != "" && !canonicalKey(c.PublicKey):
		return malformed("its public key is none")
	case c.Limits != nil && c.Purpose != PurposeIssuer:
		return malformed("only an issuer has limits")
	}
	for _, name := range c.Collectives {
		if name == "" || !plain(name, "_-") {
			return malformed("a collective is to be of A-Z, a-z, 0-9, _ and -")
		}
	}
	if _, err := Parse(string(c.Identity)); c.Identity != "" && err != nil {
		return malformed("%v", err)
	}
	return nil
}

// fitsPurpose holds what tokens of each purpose have.
func (c *Claims) fitsPurpose() error {
	switch holder := c.PublicKey != ""; {
	case c.Purpose == PurposeIssuer && (!holder || c.Limits == nil):
		return malformed("an issuer's certificate names its key and its limits")
	case c.Purpose == PurposeJoin && (holder || c.Join == nil):
		return malformed("a join token is not bound to a key")
	case c.Purpose == PurposeJoin && c.Join.Controller != "" && !canonicalKey(c.Join.Controller):
		return malformed("the controller's public key is none")
	case c.Purpose == PurposeJoin && (len(c.Join.Replaces) > maxReplaces || slices.ContainsFunc(c.Join.Replaces, func(id string) bool { return !tokenID(id) })):
		return malformed("it takes the place of what are no ids of tokens, or of more than %d", maxReplaces)
	case (c.Purpose == PurposeNode || c.Purpose == PurposeService) && (!holder || c.Identity == ""):
		return malformed("a token of purpose %s names an identity and its key", c.Purpose)
	case c.Purpose == PurposeClient && (!holder || c.Subject == "" || !printable(c.Subject)):
		return malformed("a client's token names its caller, without spaces and wildcards, and its key")
	}
	return nil
}

// agrees holds the document's own identity and cell against the claims'.
func (c *Claims) agrees() (about named, err error) {
	about, err = c.named()
	switch {
	case err != nil:
		return named{}, err
	case c.Identity != "" && about.identity != "" && about.identity != string(c.Identity):
		return named{}, malformed("its document is about another identity")
	case c.Cell != "" && about.cell != "" && about.cell != c.Cell:
		return named{}, malformed("its document is about another cell")
	}
	return about, nil
}

// named is who a document is about, "" where it does not say.
type named struct{ identity, cell string }

// named reads the document's identity and cell. Keys that differ from these in case only are refused, as readers disagree about them.
func (c *Claims) named() (named, error) {
	var n named
	if len(c.Document) == 0 {
		return n, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(c.Document, &fields); err != nil || fields == nil {
		return n, malformed("its document is no JSON object")
	}
	entries := [...]struct {
		name string
		to   *string
	}{{"identity", &n.identity}, {"cell", &n.cell}}
	for key, value := range fields {
		for _, e := range entries {
			if !strings.EqualFold(key, e.name) {
				continue
			}
			if err := json.Unmarshal(value, e.to); key != e.name || err != nil {
				return n, malformed("its document's %s is not a plain text", e.name)
			}
		}
	}
	return n, nil
}

// tokenID reports whether a text can be a token's id.
func tokenID(text string) bool { return text != "" && len(text) <= maxID && plain(text, "_=-") }

func canonicalKey(text string) bool {
	_, err := ParsePublicKey(text)
	return err == nil && !strings.ContainsAny(text, "ABCDEF")
}

// plain reports whether a text is of letters, digits and the others.
func plain(text, others string) bool {
	for i := range len(text) {
		c := text[i]
		if !isLowerOrDigit(c) && (c < 'A' || c > 'Z') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// printable reports whether a text has no space, control character or wildcard of subjects.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '*' || r == '>' })
}
