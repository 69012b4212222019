package main

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// tokenRevokeVerb revokes for good.
type tokenRevokeVerb struct {
	contextFlags
	ID       string `name:"id" placeholder:"JTI" help:"The id of a token."`
	Key      string `placeholder:"KEY" help:"The public key of a holder, or of an issuer and with it everything that it signed."`
	Identity string `placeholder:"NAME" help:"The name of a node, a host or a client."`
	Reason   string `required:"" placeholder:"TEXT" help:"Why; it is kept with the revocation."`
	Token    string `arg:"" optional:"" help:"The token, a file that holds it, or - for standard input. Of an issuer's certificate the key is revoked."`
}

// revokedResult is what token revoke --json prints.
type revokedResult struct {
	Kind   broker.RevocationKind `json:"kind"`  // id, key or identity
	Value  string                `json:"value"` // an identity with = for its dots
	Reason string                `json:"reason"`
	By     string                `json:"by"`
	At     time.Time             `json:"at"`
}

var revocable = regexp.MustCompile(`^[A-Za-z0-9_=-]{1,253}$`)

// Run writes the revocation into the cell, whose brokers then end the sessions that it names.
func (v *tokenRevokeVerb) Run(inv *invocation) error {
	r, err := v.revocation(inv)
	if err != nil {
		return err
	}
	m, err := v.connect(inv, "token_revoke")
	if err != nil {
		return err
	}
	defer m.close()
	r.Reason, r.By, r.At = v.Reason, m.name, time.Now().UTC().Truncate(time.Second)
	if err := m.revoke(r); err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(revokedResult{Kind: r.Kind, Value: r.Value, Reason: r.Reason, By: r.By, At: r.At})
	}
	inv.printf("revoked %s %s\n", r.Kind, revokedName(r))
	if m.bans(r) {
		inv.notef("this bans %s, too, who has revoked it", m.name)
	}
	return nil
}

// revokedName is what was revoked, an identity with its dots.
func revokedName(r broker.Revocation) string {
	if r.Kind == broker.RevokedIdentity {
		return strings.ReplaceAll(r.Value, "=", ".")
	}
	return r.Value
}

// revocation reads what is to be revoked, which is one thing.
func (v *tokenRevokeVerb) revocation(inv *invocation) (broker.Revocation, error) {
	var given []string
	for flag, value := range map[string]string{"id": v.ID, "key": v.Key, "identity": v.Identity, "token": v.Token} {
		if value != "" {
			given = append(given, flag)
		}
	}
	if len(given) != 1 {
		return broker.Revocation{}, usage("give one of --id, --key, --identity or a token", "it is to be one thing that is revoked, not %d", len(given))
	}
	r := broker.Revocation{Kind: broker.RevokedToken, Value: v.ID}
	switch {
	case v.Key != "":
		key, err := parsePublicKey("--key", v.Key)
		return broker.Revocation{Kind: broker.RevokedKey, Value: key.String()}, err
	case v.Identity != "":
		r = broker.Revocation{Kind: broker.RevokedIdentity, Value: strings.ReplaceAll(v.Identity, ".", "=")}
	case v.Token != "":
		token, err := inv.givenToken(v.Token)
		if err != nil {
			return r, err
		}
		return revocationOf(token)
	}
	if !revocable.MatchString(r.Value) {
		return r, usage("statecraft token inspect prints the id of a token; statecraft fleet ls the names of nodes", "%q is no %s", r.Value, r.Kind)
	}
	return r, nil
}

// revocationOf is what bans a token. Brokers ask for the ids of tokens and for the keys of those who signed them, so that of a
// certificate it is the key.
func revocationOf(token string) (broker.Revocation, error) {
	c, err := identity.Inspect(token)
	if err != nil {
		return broker.Revocation{}, notToken(err)
	}
	switch c.Purpose {
	case identity.PurposeJoin, identity.PurposeNode, identity.PurposeClient, identity.PurposeService:
		return broker.Revocation{Kind: broker.RevokedToken, Value: c.ID}, nil
	case identity.PurposeIssuer:
		return broker.Revocation{Kind: broker.RevokedKey, Value: c.PublicKey}, nil
	}
	return broker.Revocation{}, usage("revoke the key of who signed it with --key", "a document of purpose %q lets nobody in, so that it cannot be revoked", c.Purpose)
}

// revoke writes a revocation. One that is there already is written again: it may have been removed, which a client with the right to
// revoke alone cannot see.
func (m *member) revoke(r broker.Revocation) error {
	const doing = "writing the revocation"
	value, err := r.Encode()
	if err != nil {
		return err
	}
	bucket, err := m.bucket("REVOKED")
	if err != nil {
		return err
	}
	ctx, cancel := m.patience()
	defer cancel()
	_, err = bucket.Put(ctx, r.Key(), value)
	if err != nil && m.bans(r) && m.IsClosed() && isRefusal(m.LastError()) {
		return nil // the session was ended by what it wrote, before the answer came
	}
	if err != nil {
		return m.failed(doing, err)
	}
	return nil
}

// bans reports whether a revocation names the client itself or one of its issuers.
func (m *member) bans(r broker.Revocation) bool {
	own := []string{m.claims.ID, m.claims.PublicKey, strings.ReplaceAll(m.claims.Subject, ".", "="), m.claims.Issuer}
	for _, certificate := range m.claims.Chain {
		if c, err := identity.Inspect(certificate); err == nil {
			own = append(own, c.Issuer)
		}
	}
	return slices.Contains(own, r.Value)
}
