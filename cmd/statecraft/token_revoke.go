package main

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// tokenRevokeVerb revokes for good.
type tokenRevokeVerb struct {
	contextFlags
	Node     string `placeholder:"NAME" help:"A node, by its name."`
	Client   string `placeholder:"NAME" help:"A client, by its name; with --force, as the cell keeps no list of them."`
	Host     string `placeholder:"NAME" help:"A host of the cell, by its name. None of its services works any more then, nor what it has signed."`
	Identity string `placeholder:"NAME" help:"A node or a host, whichever has the name."`
	ID       string `name:"id" placeholder:"JTI" help:"A token, by its id."`
	Key      string `placeholder:"KEY" help:"The public key of a holder, or of an issuer and with it everything that it signed."`
	Reason   string `required:"" placeholder:"TEXT" help:"Why; it is kept with the revocation."`
	Force    bool   `help:"Revoke what nobody in the cell has, too."`
	Yes      bool   `help:"Revoke also where that is a host of the cell, with --host where it is the last."`
	Token    string `arg:"" optional:"" help:"The file that holds the token, a client's folder, or - for standard input. Of an issuer's certificate the key is revoked."`
}

// revocationQuestion is what the service revoke is asked.
type revocationQuestion struct {
	Kind   string `json:"kind"` // identity, node, client, host, join, id, key or issuer
	Value  string `json:"value"`
	Reason string `json:"reason"`
	By     string `json:"by"`
	Until  string `json:"until,omitempty"` // when the token ends by itself
	Force  bool   `json:"force"`           // also where nobody has it
	Host   bool   `json:"host"`            // also where it is a host's, and of kind host where it is the last
}

// revocationAnswer is what it answers: what the bucket has now.
type revocationAnswer struct {
	Reason  string           `json:"reason"`
	By      string           `json:"by"`
	At      time.Time        `json:"at"`
	Purpose identity.Purpose `json:"purpose"`
	Already bool             `json:"already"`
	Node    string           `json:"node"`
	Host    string           `json:"host"`
}

// revokedResult is what token revoke --json prints.
type revokedResult struct {
	Kind    broker.RevocationKind `json:"kind"`              // id, key, identity, host or client
	Value   string                `json:"value"`             // a name with = for its dots
	Purpose identity.Purpose      `json:"purpose,omitempty"` // whose: node, client, service, join or issuer
	Reason  string                `json:"reason"`
	By      string                `json:"by"`
	At      time.Time             `json:"at"`
	Until   string                `json:"until,omitempty"` // when the token ends by itself
	Already bool                  `json:"already"`         // it was revoked before
}

var revocable = regexp.MustCompile(`^[A-Za-z0-9_=-]{1,253}$`)

// Run asks the cell to revoke, whose brokers then end the sessions that it names.
func (v *tokenRevokeVerb) Run(inv *invocation) error {
	q, err := v.question(inv)
	if err != nil {
		return err
	}
	m, err := v.connect(inv, "token_revoke")
	if err != nil {
		return err
	}
	defer m.close()
	q.Reason, q.By = v.Reason, m.name
	m.ending.Store(m.bans(revokedResult{Kind: q.place(false), Value: q.Value}))
	r, err := m.revoke(q)
	if err != nil {
		return v.refused(err, q, m)
	}
	if inv.json {
		return inv.printJSON(r)
	}
	if r.Already {
		inv.printf("%s %s was revoked at %s by %s: %s\n", r.Kind, named(r.Kind, r.Value), instant(r.At), r.By, r.Reason)
	} else {
		inv.printf("revoked %s %s\n", r.Kind, named(r.Kind, r.Value))
	}
	if m.bans(r) {
		inv.notef("this bans %s, too, who has revoked it; where an issuer was revoked make another first, then: %s", m.name, anotherToken(m.claims, m.folder, ""))
	}
	return nil
}

// named is what is revoked, a name with its dots.
func named(kind broker.RevocationKind, value string) string {
	if kind == broker.RevokedToken || kind == broker.RevokedKey {
		return value
	}
	return strings.ReplaceAll(value, "=", ".")
}

// question reads what is to be revoked, which is one thing.
func (v *tokenRevokeVerb) question(inv *invocation) (q revocationQuestion, err error) {
	given := 0
	for kind, value := range map[string]string{
		"node": v.Node, "client": v.Client, "host": v.Host, "identity": v.Identity, "id": v.ID, "key": v.Key, "token": v.Token,
	} {
		if value != "" {
			given++
			q.Kind, q.Value = kind, value
		}
	}
	if given != 1 {
		return q, usage("give one of --node, --client, --host, --identity, --id, --key or a token", "it is to be one thing that is revoked, not %d", given)
	}
	q.Force, q.Host = v.Force, v.Yes
	switch q.Kind {
	case "token":
		token, err := inv.givenToken(v.Token)
		if err != nil {
			return q, err
		}
		err = q.of(token)
		return q, err
	case "key":
		key, err := parsePublicKey("--key", v.Key)
		q.Value = key.String()
		return q, err
	case "client":
		q.Value = strings.ReplaceAll(q.Value, ".", "=")
	case "node", "host", "identity":
		name, err := identity.Parse(q.Value)
		if err != nil {
			return q, usage("statecraft fleet ls prints the names of nodes, statecraft fleet hosts those of hosts", "--%s: %w", q.Kind, err)
		}
		q.Value = name.Token()
	}
	if !revocable.MatchString(q.Value) {
		return q, usage("statecraft token inspect prints the id of a token and its key, by which anybody can be revoked", "%q is no %s", q.Value, q.Kind)
	}
	return q, nil
}

// of asks for a token to be banned. Brokers ask for the ids of tokens and for the keys of those who signed them, so that of a certificate it is
// the key. Whose it is stands in it, so that nobody has to know it.
func (q *revocationQuestion) of(token string) error {
	c, err := identity.Inspect(token)
	if !isToken(err) {
		return notToken(err)
	}
	q.Until, q.Force = c.Expires.UTC().Format(time.RFC3339), true
	switch c.Purpose {
	case identity.PurposeJoin:
		q.Kind, q.Value = "join", c.ID
	case identity.PurposeNode, identity.PurposeClient, identity.PurposeService:
		q.Kind, q.Value = "id", c.ID
	case identity.PurposeIssuer:
		q.Kind, q.Value = "issuer", c.PublicKey
	default:
		return usage("revoke the key of who signed it with --key", "a document of purpose %q lets nobody in, so that it cannot be revoked", c.Purpose)
	}
	return nil
}

// place is where the bucket has it. host is whether a host has it.
func (q *revocationQuestion) place(host bool) broker.RevocationKind {
	switch q.Kind {
	case "identity":
		if host {
			return broker.RevokedHost
		}
		return broker.RevokedIdentity
	case "node":
		return broker.RevokedIdentity
	case "client":
		return broker.RevokedClient
	case "host":
		return broker.RevokedHost
	case "key", "issuer":
		return broker.RevokedKey
	default:
		return broker.RevokedToken
	}
}

// revoke asks the service.
func (m *member) revoke(q revocationQuestion) (revokedResult, error) {
	var a revocationAnswer
	subject := m.serviceSubject("revoke")
	if m.has("admin") {
		subject = "client." + m.key + ".admin.revoke" // has what is kept of the bucket for admins, and no quota of a day
	}
	err := m.requestAt("revoke", subject, q, &a)
	if m.has("admin") && errors.Is(err, errNoHost) { // hosts of the release before
		err = m.request("revoke", q, &a)
	}
	r := revokedResult{
		Kind: q.place(a.Host != ""), Value: q.Value, Purpose: a.Purpose, Reason: a.Reason, By: a.By, At: a.At, Until: q.Until, Already: a.Already,
	}
	if err != nil && m.bans(r) && m.IsClosed() && isRefusal(m.LastError()) {
		// The session was ended by what it asked for, before the answer came.
		r.Reason, r.By, r.At = q.Reason, q.By, time.Now().UTC().Truncate(time.Second)
		return r, nil
	}
	return r, err
}

// mayBeStored is the next step where nobody has said whether a revocation is stored.
const mayBeStored = "it may have been stored: run it again, until it says that it is revoked; statecraft fleet hosts says how the hosts are"

// refused gives the next step where the cell does not revoke.
func (v *tokenRevokeVerb) refused(err error, q revocationQuestion, m *member) error {
	var denied *deniedError
	if !errors.As(err, &denied) {
		if isSilence(err) {
			return hinted(err, mayBeStored)
		}
		return err
	}
	switch denied.code {
	case messaging.CodeTooLate:
		return fail(exitUnreachable, mayBeStored, "%w", denied)
	case messaging.CodeConflict:
		if q.Kind == "host" {
			return fail(exitUsage, "say --yes as well, if that is what you mean; after a theft run statecraft overlay rotate NAME first", "nothing is revoked: %w", denied)
		}
		return fail(exitUsage, "say --host NAME, or --yes, if that is what you mean; after a theft run statecraft overlay rotate NAME first", "nothing is revoked: %w", denied)
	case messaging.CodeNotFound:
		hint := "--force revokes it all the same"
		if like := m.alike(q); like != "" {
			hint = "did you mean " + like + "? " + hint
		}
		return fail(exitFailed, hint, "nothing is revoked: %w", denied)
	case messaging.CodeFull:
		return fail(exitFailed, "raise stream_bytes of the hosts, which docs/operations.md explains under Sizing; statecraft fleet hosts says how full the bucket is", "%w", denied)
	case messaging.CodeRefused, messaging.CodeUnreadable, messaging.CodeTooLarge:
		return fail(exitUsage, "statecraft token inspect prints the id of a token, its key and who signed it; statecraft fleet ls the names of nodes", "nothing is revoked: %w", denied)
	default:
		return err
	}
}

// alike is the name of a node that is like one that nobody has, "" where there is none or the client may not see them.
func (m *member) alike(q revocationQuestion) string {
	if q.Kind != "node" && q.Kind != "identity" || !m.has("fleet_view") && !m.has("admin") {
		return ""
	}
	nodes, err := m.nodes()
	if err != nil {
		return ""
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.Identity)
	}
	return strict.Nearest(named(broker.RevokedIdentity, q.Value), names)
}

// bans reports whether a revocation bans the client itself, by what brokers ask.
func (m *member) bans(r revokedResult) bool {
	key, err := identity.ParsePublicKey(m.claims.PublicKey)
	return err == nil && broker.NewRevocations(broker.Revocation{Kind: r.Kind, Value: r.Value, Purpose: r.Purpose}).Ban(broker.BearerOf(m.claims, key))
}
