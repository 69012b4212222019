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

// RevocationKind is what a revocation names.
type RevocationKind string

// The kinds. A key is that of a holder or of an issuer, which bans everything that it signed. An identity is written as in subjects, and
// is a node's, a host's or a client's name.
const (
	RevokedToken    RevocationKind = "id"
	RevokedKey      RevocationKind = "key"
	RevokedIdentity RevocationKind = "identity"
)

// Revocation bans somebody for good.
type Revocation struct {
	Kind  RevocationKind
	Value string

	Reason string
	By     string
	At     time.Time
}

// Key is the revocation's key in the bucket.
func (r Revocation) Key() string { return string(r.Kind) + "." + r.Value }

// ParseRevocation reads a key of the bucket: id.<jti>, key.<64 hexadecimal digits> or identity.<name as in subjects>.
func ParseRevocation(key string) (Revocation, error) {
	kind, value, ok := strings.Cut(key, ".")
	if !ok || value == "" || strings.Contains(value, ".") {
		return Revocation{}, fmt.Errorf("%q names no revocation: write id.TOKEN, key.PUBLICKEY or identity.NAME with its dots as =", key)
	}
	r := Revocation{Kind: RevocationKind(kind), Value: value}
	switch r.Kind {
	case RevokedToken, RevokedIdentity:
		return r, nil
	case RevokedKey:
		k, err := identity.ParsePublicKey(value)
		r.Value = k.String()
		return r, err
	default:
		return Revocation{}, fmt.Errorf("%q names no revocation: it begins with id, key or identity", key)
	}
}

// readRevocation reads a key and its value. The value must say who revoked and when: answers of services and JetStream can be led to any
// subject by who asks, and must not be able to ban.
func readRevocation(key string, value []byte) (Revocation, error) {
	r, err := ParseRevocation(key)
	if err != nil {
		return r, err
	}
	var said struct {
		Reason string    `json:"reason"`
		By     string    `json:"by"`
		At     time.Time `json:"at"`
	}
	if err := json.Unmarshal(value, &said); err != nil {
		return r, fmt.Errorf("reading the revocation %s: %w", key, err)
	}
	if said.By == "" || said.At.IsZero() {
		return r, fmt.Errorf("reading the revocation %s: it does not say by whom and at what time", key)
	}
	r.Reason, r.By, r.At = said.Reason, said.By, said.At
	return r, nil
}

// Encode is the revocation's value in the bucket.
func (r Revocation) Encode() ([]byte, error) {
	if r.By == "" || r.At.IsZero() {
		return nil, errors.New("a revocation says by whom and at what time")
	}
	return json.Marshal(map[string]any{"reason": r.Reason, "by": r.By, "at": r.At.UTC().Format(time.RFC3339)})
}

// Revocations is what is known to be revoked. Nothing is ever taken out of it. Safe for concurrent use; nil bans nobody.
type Revocations struct {
	mu         sync.RWMutex
	ids, names map[string]bool
	keys       map[identity.PublicKey]bool
}

// NewRevocations is a set of revocations.
func NewRevocations(of ...Revocation) *Revocations {
	r := &Revocations{ids: map[string]bool{}, names: map[string]bool{}, keys: map[identity.PublicKey]bool{}}
	r.Add(of...)
	return r
}

// Add bans and reports whether one of them was not known. Keys that cannot be read are nobody's and left out, as are empty values: who
// joins has no name yet.
func (r *Revocations) Add(of ...Revocation) (grew bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.ids) + len(r.names) + len(r.keys)
	for _, one := range of {
		switch {
		case one.Value == "":
		case one.Kind == RevokedToken:
			r.ids[one.Value] = true
		case one.Kind == RevokedIdentity:
			r.names[one.Value] = true
		case one.Kind == RevokedKey:
			if k, err := identity.ParsePublicKey(one.Value); err == nil {
				r.keys[k] = true
			}
		}
	}
	return len(r.ids)+len(r.names)+len(r.keys) > before
}

// Len is how many are known.
func (r *Revocations) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.ids) + len(r.names) + len(r.keys)
}

// Ban reports whether a session of this bearer is to end.
func (r *Revocations) Ban(b Bearer) bool {
	if r == nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.ids[b.TokenID] || r.names[b.Identity] || r.keys[b.Key] ||
		slices.ContainsFunc(b.Issuers, func(k identity.PublicKey) bool { return r.keys[k] })
}
