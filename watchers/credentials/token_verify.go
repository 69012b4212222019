package credentials

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// The reasons of a refusal that have no cause in package identity.
const (
	reasonMalformed = "malformed"
	reasonMismatch  = "mismatch"
)

// verify checks a token. What comes from somebody else - the token, who is to have signed it - is refused where it is not there; what is
// the manifest's own fails.
func (l tokenLook) verify(look *watchers.Look) watchers.Report {
	token, ok := l.text(look, l.spec.Token)
	if !ok {
		return refused(reasonMalformed, "there is no token to verify")
	}
	e, report := l.expectation(look)
	if report != nil {
		return *report
	}
	w, err := l.wallet(look)
	if err != nil {
		return failure(err)
	}
	v, err := w.Verifier()
	if err != nil {
		return failure(err)
	}
	claims, err := v.Verify(token, e)
	if err != nil {
		return refusal(err)
	}
	if report := l.admits(look, claims); report != nil {
		return *report
	}
	payload, err := fields(claims)
	if err != nil {
		return failure(err)
	}
	return l.matching(look, payload)
}

// expectation evaluates what the token must be. A property that is given and has no value must never mean that nothing is asked.
func (l tokenLook) expectation(look *watchers.Look) (e identity.Expect, stop *watchers.Report) {
	fail := func(r watchers.Report) (identity.Expect, *watchers.Report) { return identity.Expect{}, &r }
	purpose, err := look.Expand(l.spec.Purpose)
	if err != nil || purpose == "" {
		return fail(failure(errors.Join(errors.New("verifying a token: purpose: there is none"), err)))
	}
	e = identity.Expect{Purposes: []identity.Purpose{identity.Purpose(purpose)}, Now: look.At, Leeway: l.spec.Leeway.Std()}
	if l.spec.Audience != nil {
		if e.Audience, err = l.spec.Audience.Text(look, nil); err != nil || e.Audience == "" {
			return fail(failure(errors.Join(errors.New("verifying a token: audience: there is none"), err)))
		}
	}
	if l.spec.SignedBy != nil {
		text, _ := l.text(look, l.spec.SignedBy)
		if e.SignedBy, err = identity.ParsePublicKey(text); err != nil {
			return fail(refused(reasonMalformed, "who is to have signed the token: "+err.Error()))
		}
	}
	return e, nil
}

// admits holds who comes with a join token against its pattern.
func (l tokenLook) admits(look *watchers.Look, claims *identity.Claims) *watchers.Report {
	if l.spec.Holder == nil {
		return nil
	}
	holder, _ := l.text(look, l.spec.Holder)
	id, err := identity.Parse(holder)
	if err == nil && claims.Join != nil && identity.MatchPattern(claims.Join.Identities, string(id)) {
		return nil
	}
	r := refused(reasonMismatch, fmt.Sprintf("it does not admit the identity %q", holder))
	return &r
}

// matching holds the document and the claims against what is expected of them.
func (l tokenLook) matching(look *watchers.Look, payload map[string]any) watchers.Report {
	expected, err := l.spec.Expect.Object(look, nil)
	if err == nil && expected == nil && l.spec.Expect != nil {
		err = errors.New("it has no value")
	}
	if err == nil {
		expected, err = normal(expected)
	}
	if err != nil {
		return failure(fmt.Errorf("verifying a token: expect: %w", err))
	}
	document, _ := payload["document"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		got, ok := document[name]
		if !ok {
			got = payload[name]
		}
		if expected[name] == nil || !reflect.DeepEqual(got, expected[name]) {
			return refused(reasonMismatch, "its "+name+" is not what is expected")
		}
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: payload}
}

// text evaluates an expression over what somebody else sent; not ok is any way in which it gives no text.
func (l tokenLook) text(look *watchers.Look, f *watchers.Formula) (text string, ok bool) {
	text, err := f.Text(look, nil)
	return text, err == nil && text != ""
}

func refused(reason, message string) watchers.Report {
	return watchers.Report{Outcome: OutcomeRefused, Message: message, Payload: map[string]any{"reason": reason}}
}

// refusal reports why a token did not verify.
func refusal(err error) watchers.Report {
	reason := reasonMalformed
	for _, r := range []struct {
		cause error
		name  string
	}{
		{identity.ErrUnsupported, "unsupported"}, {identity.ErrSignature, "signature"}, {identity.ErrIssuer, "issuer"}, {identity.ErrPurpose, "purpose"}, {identity.ErrAudience, "audience"},
		{identity.ErrExpired, "expired"}, {identity.ErrNotYetValid, "not_yet_valid"},
	} {
		if errors.Is(err, r.cause) {
			reason = r.name
		}
	}
	return refused(reason, err.Error())
}
