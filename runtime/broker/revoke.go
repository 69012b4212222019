package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// revokedBucket holds what is revoked: a key of the form that ParseRevocation reads, and who revoked it, when and why.
const (
	revokedBucket   = "REVOKED"
	revokedSubjects = "$KV." + revokedBucket + "."
)

// RevocationKind is what a revocation names, and how its key in the bucket begins.
type RevocationKind string

// The kinds. A key is that of a holder or of an issuer, which bans everything that it signed. Names are written as in subjects: that of an
// identity is a node's, or anybody's where the revocation says no purpose, as those of earlier releases do.
const (
	RevokedToken    RevocationKind = "id"
	RevokedKey      RevocationKind = "key"
	RevokedIdentity RevocationKind = "identity"
	RevokedHost     RevocationKind = "host"
	RevokedClient   RevocationKind = "client"
)

// Revocation bans somebody for good.
type Revocation struct {
	Kind  RevocationKind
	Value string
	// Purpose is whose it is: of tokens of which purpose. Of a kind that is an identity only those are banned; "" is all.
	Purpose identity.Purpose

	Reason string
	By     string
	At     time.Time
}

// Key is the revocation's key in the bucket.
func (r Revocation) Key() string { return string(r.Kind) + "." + r.Value }

// ParseRevocation reads a key of the bucket: id.<jti>, key.<64 hexadecimal digits>, or identity, host or client with a name as in subjects.
func ParseRevocation(key string) (Revocation, error) {
	kind, value, ok := strings.Cut(key, ".")
	if !ok || value == "" || strings.Contains(value, ".") {
		return Revocation{}, fmt.Errorf("%q names no revocation: write id.TOKEN, key.PUBLICKEY, or identity.NAME, host.NAME or client.NAME with its dots as =", key)
	}
	r := Revocation{Kind: RevocationKind(kind), Value: value}
	switch r.Kind {
	case RevokedToken, RevokedIdentity:
	case RevokedHost:
		r.Purpose = identity.PurposeService
	case RevokedClient:
		r.Purpose = identity.PurposeClient
	case RevokedKey:
		k, err := identity.ParsePublicKey(value)
		r.Value = k.String()
		return r, err
	default:
		return Revocation{}, fmt.Errorf("%q names no revocation: it begins with id, key, identity, host or client", key)
	}
	return r, nil
}

// revocationValue is a revocation's value in the bucket, as JSON.
type revocationValue struct {
	Reason  string           `json:"reason"`
	By      string           `json:"by"`
	At      time.Time        `json:"at"`
	Purpose identity.Purpose `json:"purpose,omitempty"`
}

// readRevocation reads a key and its value. The value must say who revoked and when: answers of services and JetStream can be led to any
// subject by who asks, and must not be able to ban.
func readRevocation(key string, value []byte) (Revocation, error) {
	r, err := ParseRevocation(key)
	if err != nil {
		return r, err
	}
	var said revocationValue
	if err := json.Unmarshal(value, &said); err != nil {
		return r, fmt.Errorf("reading the revocation %s: %w", key, err)
	}
	if said.By == "" || said.At.IsZero() {
		return r, fmt.Errorf("reading the revocation %s: it does not say by whom and at what time", key)
	}
	r.Reason, r.By, r.At = said.Reason, said.By, said.At
	if r.Purpose == "" {
		r.Purpose = said.Purpose
	}
	return r, nil
}

// Encode is the revocation's value in the bucket.
func (r Revocation) Encode() ([]byte, error) {
	if r.By == "" || r.At.IsZero() {
		return nil, errors.New("a revocation says by whom and at what time")
	}
	return json.Marshal(revocationValue{Reason: r.Reason, By: r.By, At: r.At.UTC().Truncate(time.Second), Purpose: r.Purpose})
}

// name is a name of one purpose; "" is all.
type name struct {
	of   identity.Purpose
	text string
}

// Revocations is what is known to be revoked. Nothing is ever taken out of it. Safe for concurrent use; nil bans nobody.
type Revocations struct {
	mu    sync.RWMutex
	ids   map[string]bool
	names map[name]bool
	keys  map[identity.PublicKey]bool

	copied *revokedCopy // nil where nothing is kept on disk
}

// NewRevocations is a set of revocations that is kept in memory, and takes for granted that it is all that there is.
func NewRevocations(of ...Revocation) *Revocations {
	r := &Revocations{ids: map[string]bool{}, names: map[name]bool{}, keys: map[identity.PublicKey]bool{}}
	r.Add(of...)
	return r
}

// Add bans, and returns those that were not known. Keys that cannot be read are nobody's and left out, as are empty values: who joins has no
// name yet.
func (r *Revocations) Add(of ...Revocation) (fresh []Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range of {
		if before := r.len(); one.Value != "" {
			r.add(one)
			if r.len() > before {
				fresh = append(fresh, one)
			}
		}
	}
	return fresh
}

func (r *Revocations) add(one Revocation) {
	switch one.Kind {
	case RevokedToken:
		r.ids[one.Value] = true
	case RevokedIdentity:
		r.names[name{one.Purpose, one.Value}] = true
	case RevokedHost:
		r.names[name{identity.PurposeService, one.Value}] = true
	case RevokedClient:
		r.names[name{identity.PurposeClient, one.Value}] = true
	case RevokedKey:
		if k, err := identity.ParsePublicKey(one.Value); err == nil {
			r.keys[k] = true
		}
	}
}

// Has reports whether a revocation is known.
func (r *Revocations) Has(one Revocation) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch one.Kind {
	case RevokedToken:
		return r.ids[one.Value]
	case RevokedKey:
		k, err := identity.ParsePublicKey(one.Value)
		return err == nil && r.keys[k]
	case RevokedHost:
		return r.names[name{identity.PurposeService, one.Value}]
	case RevokedClient:
		return r.names[name{identity.PurposeClient, one.Value}]
	default:
		return r.names[name{one.Purpose, one.Value}]
	}
}

// Len is how many are known.
func (r *Revocations) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.len()
}

func (r *Revocations) len() int { return len(r.ids) + len(r.names) + len(r.keys) }

// Ban reports whether a session of this bearer is to end.
func (r *Revocations) Ban(b Bearer) bool {
	if r == nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.ids[b.TokenID] || r.names[name{"", b.Identity}] || r.names[name{b.Purpose, b.Identity}] || r.keys[b.Key] ||
		slices.ContainsFunc(b.Issuers, func(k identity.PublicKey) bool { return r.keys[k] })
}

// HasKey reports whether a key is revoked, be it a holder's or an issuer's.
func (r *Revocations) HasKey(k identity.PublicKey) bool {
	if r == nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys[k]
}
