package credentials

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// issue signs a token, unless its signer's certificates do not allow it: whoever got it could not use it.
func (l tokenLook) issue(look *watchers.Look) watchers.Report {
	w, err := l.wallet(look)
	if err != nil {
		return failure(err)
	}
	claims, err := l.claims(look)
	if err != nil {
		return failure(fmt.Errorf("issuing a token: %w", err))
	}
	name, err := look.Expand(l.spec.Issuer)
	if err != nil {
		return failure(fmt.Errorf("issuing a token: issuer: %w", err))
	}
	token, issued, err := w.Issue(name, *claims)
	if err != nil {
		return failure(fmt.Errorf("issuing a token of purpose %s as %s: %w", claims.Purpose, name, err))
	}
	report := known(issued)
	report.Payload["token"] = token
	if l.spec.Join {
		if report.Payload["join_id"], err = joinID(issued); err != nil {
			return failure(fmt.Errorf("issuing a token: the join token: %w", err))
		}
	}
	return report
}

// claims evaluates what the token is to say.
func (l tokenLook) claims(look *watchers.Look) (*identity.Claims, error) {
	purpose, err := look.Expand(l.spec.Purpose)
	if err != nil || purpose == "" {
		return nil, errors.Join(errors.New("purpose: there is none"), err)
	}
	claims, err := l.claimed(look, purpose)
	if err != nil {
		return nil, err
	}
	if claims.Document, err = l.document(look); err != nil {
		return nil, err
	}
	for to, from := range map[*string]*watchers.Formula{&claims.Audience: l.spec.Audience, &claims.Subject: l.spec.Subject} {
		if from == nil {
			continue
		}
		if *to, err = from.Text(look, nil); err != nil || *to == "" {
			return nil, errors.Join(fmt.Errorf("%s gives no text", from), err)
		}
	}
	claims.IssuedAt, claims.Expires = look.At, look.At.Add(l.spec.Lifetime.Std())
	return claims, nil
}

// claimed evaluates the mapping of claims. A claim without a value would be left out in silence, so that it is refused.
func (l tokenLook) claimed(look *watchers.Look, purpose string) (*identity.Claims, error) {
	mapping, err := l.spec.Claims.Object(look, nil)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	names := claimNames()
	for name, value := range mapping {
		switch {
		case !slices.Contains(names, name):
			return nil, unknownClaim(name)
		case value == nil:
			return nil, fmt.Errorf("claims: %s has no value", name)
		}
	}
	if claims, ok := plainClaims(purpose, mapping); ok {
		return claims, nil
	}
	whole := map[string]any{"purpose": purpose}
	maps.Copy(whole, mapping) // which has no purpose: it is not one of claimNames
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	claims := new(identity.Claims)
	if err := json.Unmarshal(text, claims); err != nil {
		return nil, fmt.Errorf("claims: a value is not of its claim's type: %w", err)
	}
	return claims, nil
}

// plainClaims takes the claims that most tokens have as they are. Not ok leaves all others, and every error, to JSON.
func plainClaims(purpose string, mapping map[string]any) (c *identity.Claims, ok bool) {
	c = &identity.Claims{Purpose: identity.Purpose(purpose)}
	ok = c.Purpose != identity.PurposeJoin && utf8.ValidString(purpose)
	for name, value := range mapping {
		var valid bool
		switch name {
		case "identity":
			valid = plainText((*string)(&c.Identity), value)
		case "public_key":
			valid = plainText(&c.PublicKey, value)
		case "ou":
			valid = plainText(&c.OU, value)
		case "cell":
			valid = plainText(&c.Cell, value)
		case "collectives":
			valid = plainTexts(&c.Collectives, value)
		}
		ok = ok && valid
	}
	return c, ok
}

// plainText takes a text that JSON surely gives back as it is.
func plainText(to *string, value any) (ok bool) {
	*to, ok = value.(string)
	return ok && utf8.ValidString(*to)
}

func plainTexts(to *[]string, value any) bool {
	values, ok := value.([]any)
	*to = make([]string, len(values))
	for i, v := range values {
		ok = ok && plainText(&(*to)[i], v)
	}
	return ok
}

func unknownClaim(name string) error {
	if near := strict.Nearest(name, claimNames()); near != "" {
		return fmt.Errorf("claims: there is no claim %q; did you mean %s?", name, near)
	}
	return fmt.Errorf("claims: there is no claim %q; write one of %s, or put it into the document", name, strings.Join(claimNames(), ", "))
}

// claimNames is what a manifest may claim; the rest has properties of its own or is the signer's.
func claimNames() []string {
	return []string{
		"identity", "public_key", "ou", "cell", "collectives", "permissions", "cidr", "urls", "srv_domain", "pins", "controller",
		"max_uses", "facts", "registration", "extensions", "limits",
	}
}

func (l tokenLook) document(look *watchers.Look) (json.RawMessage, error) {
	if l.spec.Document == nil && !l.spec.Join {
		return nil, nil
	}
	mapping, err := l.spec.Document.Object(look, nil)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	if mapping == nil && l.spec.Document != nil {
		return nil, errors.New("document: it has no value")
	}
	if l.spec.Join {
		if mapping, err = l.withJoin(look, mapping); err != nil {
			return nil, fmt.Errorf("document: %w", err)
		}
	}
	if l.spec.RenewJoin != nil {
		if mapping, err = l.withNewJoin(look, mapping); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(mapping)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	return text, nil
}

// withNewJoin adds the join token that takes the place of the one that the node of the document has come by, if there is one. One that the host may not give
// keeps no node from its place.
func (l tokenLook) withNewJoin(look *watchers.Look, mapping map[string]any) (map[string]any, error) {
	had, err := l.spec.RenewJoin.Object(look, nil)
	if err != nil {
		return nil, fmt.Errorf("renew_join: %w", err)
	}
	w, err := l.wallet(look)
	if err != nil {
		return nil, err
	}
	id, _ := had["id"].(string)
	node, _ := mapping["identity"].(string)
	since, known := seconds(had["since"])
	if !known {
		return mapping, nil
	}
	token, err := w.SuccessorOf(id, identity.Identity(node), since, look.At)
	if err != nil {
		look.Log.Warn("join_token_not_given", "error", err)
	}
	if token == "" {
		return mapping, nil
	}
	added := map[string]any{"join": token}
	maps.Copy(added, mapping)
	return added, nil
}

// seconds reads a time in seconds since 1970.
func seconds(value any) (at time.Time, ok bool) {
	switch n := value.(type) {
	case int:
		return time.Unix(int64(n), 0), true
	case int64:
		return time.Unix(n, 0), true
	case float64:
		return time.Unix(int64(n), 0), true
	default:
		return time.Time{}, false
	}
}

// withJoin adds the join token to a document.
func (l tokenLook) withJoin(look *watchers.Look, mapping map[string]any) (map[string]any, error) {
	w, err := l.stored(look)
	if err != nil {
		return nil, err
	}
	token, err := w.Store.JoinToken()
	if err != nil {
		return nil, fmt.Errorf("the join token: %w", err)
	}
	added := map[string]any{"join": token}
	maps.Copy(added, mapping)
	return added, nil
}

// joinID is the id of the join token in a document.
func joinID(issued *identity.Claims) (string, error) {
	var document struct {
		Join string `json:"join"`
	}
	if err := json.Unmarshal(issued.Document, &document); err != nil {
		return "", err
	}
	join, err := identity.Inspect(document.Join)
	if err != nil {
		return "", err
	}
	return join.ID, nil
}

// known reports a token's id and end.
func known(c *identity.Claims) watchers.Report {
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{"id": c.ID, "expires": c.Expires.Format(time.RFC3339)}}
}

// nonce draws 32 random bytes.
func nonce(*watchers.Look) watchers.Report {
	drawn := make([]byte, 32)
	_, _ = rand.Read(drawn) // never fails: it ends the process where the system has no random numbers
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{"nonce": hex.EncodeToString(drawn)}}
}
