package main

import (
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// tokenIssueIssuerVerb signs the certificate of an issuer.
type tokenIssueIssuerVerb struct {
	issuerFlags
	holderFlags
	Name        string   `required:"" placeholder:"NAME" help:"What the issuer is called."`
	Sign        []string `required:"" placeholder:"PURPOSE" help:"What it may sign: join, client, node, service, assignment, challenge, issuer. Once for each."`
	Identities  string   `placeholder:"PATTERN" help:"For which identities and clients it may sign, * for any characters (default: all)."`
	MaxLifetime string   `placeholder:"DURATION" help:"How long what it signs may be valid (default: as long as itself)."`
}

// Run prints the certificate, followed by those of who signs it, as --certificate reads them.
func (v *tokenIssueIssuerVerb) Run(inv *invocation) error {
	key, given, err := v.holder()
	if err != nil {
		return err
	}
	if !given {
		return usage("make it with statecraft keys new FILE and name it with --key, or with --public-key", "an issuer has a key of its own, and none is given")
	}
	i, err := v.open(inv, rootIssuer)
	if err != nil {
		return err
	}
	limits, err := v.limits(i.cell)
	if err != nil {
		return err
	}
	expires, err := i.expires(v.Lifetime)
	if err != nil {
		return err
	}
	t, err := i.sign(identity.Claims{Purpose: identity.PurposeIssuer, Subject: v.Name, PublicKey: key.String(), Expires: expires, Limits: limits})
	if err != nil {
		return err
	}
	t.Chain = i.signer.Chain
	return inv.issued(t)
}

func (v *tokenIssueIssuerVerb) limits(cell string) (*identity.IssuerLimits, error) {
	if !identityPattern.MatchString(v.Identities) {
		return nil, usage("write a pattern such as web*.example.net, in lower case", "--identities %q matches no identity", v.Identities)
	}
	l := &identity.IssuerLimits{Identities: v.Identities, Cells: []string{cell}}
	for _, purpose := range v.Sign {
		l.Purposes = append(l.Purposes, identity.Purpose(purpose))
	}
	if v.MaxLifetime != "" {
		d, err := strict.ParseDuration(v.MaxLifetime)
		if err != nil || d <= 0 {
			return nil, usage("write it as 12h, 30d or 1y", "--max-lifetime %q is no lifetime", v.MaxLifetime)
		}
		l.MaxLifetime = d.Std()
	}
	return l, nil
}
