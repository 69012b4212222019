package identity

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Purpose says what a signed document is for.
type Purpose string

// Issuer, Join, Node, Client and Service are credentials; the others are messages of handshakes. Any further name is allowed in
// documents that manifests define.
const (
	PurposeIssuer     Purpose = "issuer"
	PurposeJoin       Purpose = "join"
	PurposeNode       Purpose = "node"
	PurposeClient     Purpose = "client"
	PurposeService    Purpose = "service"
	PurposeAssignment Purpose = "assignment"
)

// Claims is the content of every token and signed document. Times are whole seconds. As JSON it is what a token holds.
type Claims struct {
	Issuer                       string // public key of who signed, in hex; the name of a site where it signed with RS256
	Subject                      string
	Audience                     string // "" or who it is for: a public key in hex, or a cell
	ID                           string // jti: 1 to 128 of [A-Za-z0-9_=-], so that it can be part of a key
	IssuedAt, NotBefore, Expires time.Time
	Purpose                      Purpose
	// Chain is the issuer certificates (tokens of purpose issuer), the signer's own first; empty where a root signed. A certificate
	// itself has none: who uses it has its chain beside it.
	Chain []string

	Identity    Identity // of a node or service; "callerid" of a client is Subject
	PublicKey   string   // hex, lower case; the holder proves it by signing the broker's nonce. Empty in join tokens: the bearer brings a key
	OU          string
	Cell        string
	Collectives []string        // each of [A-Za-z0-9_-], as they are part of subjects
	Permissions map[string]bool // named rights, see package broker
	CIDR        []string

	Join   *JoinClaims   // of purpose join
	Limits *IssuerLimits // of purpose issuer
	// Document is what a handshake's message says, a JSON object. Where it has an identity or a cell of its own, they are texts and the
	// same as the claims'; an issuer's limits hold for them.
	Document json.RawMessage
}

// JoinClaims is what a join token tells a node that has nothing else (provisioning.jwt).
type JoinClaims struct {
	URLs         []string // of the enrollment listeners
	SRVDomain    string
	Pins         []string // base64 SHA-256 of the SubjectPublicKeyInfo of the CA that signs the listeners' certificates
	Controller   string   // public key in hex that every assignment must chain to
	MaxUses      int      // 0: no limit
	Identities   string   // pattern: * is any characters; "" is any
	Facts        string   // path of a file
	Registration string
	Extensions   json.RawMessage
	// Replaces are the ids of the join tokens whose place this one takes: nodes that came by one of them are given this one.
	Replaces []string
}

// maxReplaces bounds how many tokens one takes the place of. Who missed more rotations than that needs a new one by hand.
const maxReplaces = 16

// Succeeding returns the join token that takes the place of one, and of those that it took the place of, but for who signs it and when.
func Succeeding(before *Claims) *Claims {
	next := before.clone()
	next.ID, next.NotBefore = "", time.Time{}
	ids := append(next.Join.Replaces, before.ID)
	next.Join.Replaces = slices.Clone(ids[max(0, len(ids)-maxReplaces):])
	return next
}

// Succeeds reports whether a join token takes the place of another, which its node has: it says so, and is of the same cell and the same controller. Who may
// sign it is not asked.
func (c *Claims) Succeeds(before *Claims) bool {
	return c.Join != nil && before.Join != nil && c.Cell == before.Cell && c.Join.Controller == before.Join.Controller && slices.Contains(c.Join.Replaces, before.ID)
}

// IssuerLimits is what an issuer may sign. The limits of every issuer of a chain hold, so that one below another can only be
// narrower. Certificates of further issuers need the purpose issuer here; the other limits hold for what those sign.
type IssuerLimits struct {
	Purposes   []Purpose
	Identities string   // pattern; "" is any
	Cells      []string // empty is any
	// MaxLifetime is the longest time from a token's beginning to its end, in whole seconds; 0 is up to the certificate's own end.
	MaxLifetime time.Duration
}

// Issuers are the keys between a verified token and its root: who signed it, and its certificates.
func (c *Claims) Issuers() []PublicKey {
	var texts []string
	if len(c.Chain) > 0 {
		texts = append(texts, c.Issuer)
		for _, certificate := range c.Chain[:len(c.Chain)-1] {
			if above, err := Inspect(certificate); err == nil {
				texts = append(texts, above.Issuer)
			}
		}
	}
	var keys []PublicKey
	for _, text := range texts {
		if key, err := ParsePublicKey(text); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// begins is when a token may be used from.
func (c *Claims) begins() time.Time {
	if c.NotBefore.IsZero() {
		return c.IssuedAt
	}
	return c.NotBefore
}

// start is the earliest time that a token gives, from which its lifetime counts; zero where it gives none.
func (c *Claims) start() time.Time {
	if c.NotBefore.IsZero() || !c.IssuedAt.IsZero() && c.IssuedAt.Before(c.NotBefore) {
		return c.IssuedAt
	}
	return c.NotBefore
}

// clone returns claims that share nothing which could be changed.
func (c *Claims) clone() *Claims {
	n := *c
	n.Chain, n.Collectives, n.CIDR = slices.Clone(c.Chain), slices.Clone(c.Collectives), slices.Clone(c.CIDR)
	n.Permissions, n.Document = maps.Clone(c.Permissions), slices.Clone(c.Document)
	if c.Join != nil {
		join := *c.Join
		join.URLs, join.Pins, join.Extensions = slices.Clone(join.URLs), slices.Clone(join.Pins), slices.Clone(join.Extensions)
		join.Replaces = slices.Clone(join.Replaces)
		n.Join = &join
	}
	if c.Limits != nil {
		limits := *c.Limits
		limits.Purposes, limits.Cells = slices.Clone(limits.Purposes), slices.Clone(limits.Cells)
		n.Limits = &limits
	}
	return &n
}
