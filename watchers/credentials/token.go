package credentials

import (
	"maps"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// The outcomes of a token watcher beyond success and fail.
const (
	OutcomeRefused = "refused"
	OutcomeExpired = "expired"
)

// The actions of a token watcher.
const (
	actionIssue  = "issue"
	actionVerify = "verify"
	actionDue    = "due"
	actionStore  = "store"
	actionNonce  = "nonce"
)

// tokenSpec is the properties of a token watcher.
type tokenSpec struct {
	// Action is what to do. issue signs a token; verify checks one; due waits until the active assignment's token is to be renewed, at 50 to
	// 70 % of its life; store puts a renewed one into the active assignment; nonce draws 32 random bytes.
	Action string `yaml:"action,required" enum:"issue|verify|due|store|nonce"`
	// Issuer is the name of who signs, for issue: a signer of the host, or self, the key of who the machine runs as.
	Issuer watchers.Text `yaml:"issuer" default:"self"`
	// Purpose is what the token is for: issuer, join, node, client, service or assignment, or a name of the manifest's own.
	Purpose watchers.Text `yaml:"purpose"`
	// Lifetime is how long an issued token is valid, in whole seconds.
	Lifetime strict.Duration `yaml:"lifetime" min:"1s"`
	// Audience is an expression that gives who the token is for; verify refuses one that is for somebody else.
	Audience *watchers.Formula `yaml:"audience" gives:"text" empty:"refused"`
	// Subject is an expression that gives the issued token's subject, such as a caller's id.
	Subject *watchers.Formula `yaml:"subject"`
	// Claims is an expression that gives a mapping of what else an issued token says: identity, public_key, ou, cell, collectives, permissions,
	// cidr; of a join token urls, srv_domain, pins, controller, max_uses, facts, registration, extensions; of an issuer limits.
	Claims *watchers.Formula `yaml:"claims" gives:"mapping"`
	// Document is an expression that gives the issued token's document, a mapping.
	Document *watchers.Formula `yaml:"document"`
	// Token is an expression that gives the token, for verify and store.
	Token *watchers.Formula `yaml:"token" gives:"text"`
	// SignedBy is an expression that gives the public key (hex) that must have signed the token for itself; without it the token must chain to
	// a trusted root.
	SignedBy *watchers.Formula `yaml:"signed_by" gives:"text" empty:"refused"`
	// Expect is an expression that gives a mapping whose entries must equal those of the token's document or, where that has none of the
	// name, of the payload. An entry without a value is never equal.
	Expect *watchers.Formula `yaml:"expect" gives:"mapping" empty:"refused"`
	// Join puts the join token of who the machine runs as into the issued document, under join.
	Join bool `yaml:"join"`
	// RenewJoin is an expression that gives a mapping of the join token that a node has come by, id, and of when it got its place, since in seconds since 1970:
	// where the host has a join token that takes the place of that one and was not issued before that, it is put into the issued document, under join.
	RenewJoin *watchers.Formula `yaml:"renew_join" gives:"mapping"`
	// Holder is an expression that gives the identity that comes with a join token; verify refuses one whose pattern does not admit it.
	Holder *watchers.Formula `yaml:"holder" gives:"text" empty:"refused"`
	// Leeway is how far the clock of who issued the token may be off, for verify and store.
	Leeway strict.Duration `yaml:"leeway" default:"1m" max:"1h"`
}

// Validate holds the properties against the action.
func (s *tokenSpec) Validate(w *machine.WatcherSpec) diag.List {
	actions := map[string]reads{
		actionIssue:  {[]string{"purpose", "lifetime"}, []string{"issuer", "audience", "subject", "claims", "document", "join", "renew_join"}},
		actionVerify: {[]string{"purpose", "token"}, []string{"audience", "signed_by", "expect", "holder", "leeway"}},
		actionStore:  {[]string{"token"}, []string{"leeway"}},
	}
	known := []string{"issuer", "purpose", "lifetime", "audience", "subject", "claims", "document", "token", "signed_by", "expect", "join", "renew_join", "holder", "leeway"}
	return actions[s.Action].check(w, s.Action, known)
}

// tokenPayload is the fields of all actions.
func tokenPayload() map[string]machine.ValueType {
	fields := maps.Clone(claimTypes())
	maps.Copy(fields, map[string]machine.ValueType{
		"token": machine.String, "nonce": machine.String, "document": machine.Object, "join_id": machine.String,
	})
	return fields
}

func tokenType(h holders) watchers.Type {
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "token", Verb: "action", On: []machine.Place{machine.OnNode, machine.OnOverlay},
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: tokenPayload(), Secrets: []string{"token"}, Doc: "issued, verified, due, stored or drawn; " +
					"the payload of issue is token, id and expires, with join also join_id, the id of the join token, of verify what the token says with its document, of due and store id and expires, of nonce nonce"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "it could not be done, for example because there is no such signer or no active assignment"},
				{Name: OutcomeRefused, Class: machine.Failure, Of: []string{actionVerify, actionStore}, Payload: map[string]machine.ValueType{"reason": machine.String},
					Doc: "the token is not what was asked for (verify and store); reason is malformed, unsupported (of a later release), signature, issuer, purpose, audience, expired, not_yet_valid or mismatch"},
				{Name: OutcomeExpired, Class: machine.Failure, Of: []string{actionDue}, Payload: map[string]machine.ValueType{"id": machine.String, "expires": machine.String},
					Doc: "the active assignment's token is past its end (due)"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, Of: []string{actionDue}, Again: true, Doc: "the token is not due yet, or it was said that it is"},
			},
		},
		Summary: "Issues, verifies, stores and renews tokens, and draws nonces.",
	}, func(spec *tokenSpec, _ *machine.WatcherSpec) *watchers.Prepared { return prepareToken(h, spec) })
}

func prepareToken(h holders, spec *tokenSpec) *watchers.Prepared {
	look := tokenLook{holders: h, spec: spec}
	if spec.Action == actionDue {
		return &watchers.Prepared{New: func() watchers.Watcher { return &due{holders: h} }, Waits: true}
	}
	check := map[string]checker{
		actionIssue: look.issue, actionVerify: look.verify, actionStore: look.store, actionNonce: nonce,
	}[spec.Action]
	return &watchers.Prepared{New: func() watchers.Watcher { return check }, Inline: spec.Action == actionNonce}
}

// tokenLook does one action that is done at once.
type tokenLook struct {
	holders
	spec *tokenSpec
}

// store keeps a renewed token that the active assignment can live with.
func (l tokenLook) store(look *watchers.Look) watchers.Report {
	w, err := l.stored(look)
	if err != nil {
		return failure(err)
	}
	token, ok := l.text(look, l.spec.Token)
	if !ok {
		return refused(reasonMalformed, "there is no token to store")
	}
	key, err := w.Store.Key()
	if err != nil {
		return failure(err)
	}
	a, err := w.Store.Active()
	if err != nil {
		return failure(err)
	}
	a.Token = token
	claims, err := w.Coherent(a, key.Public(), identity.Expect{Now: look.At, Leeway: l.spec.Leeway.Std()})
	if err != nil {
		return refusal(err)
	}
	if _, err := l.changing(look, w.Store, func() error { return w.Store.SetToken(token) }); err != nil {
		return failure(err)
	}
	return known(claims)
}
