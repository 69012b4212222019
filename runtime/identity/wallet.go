package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// Self is the name of the signer that is the store's own key.
const Self = "self"

// Wallet is what somebody that machines run as has: watchers reach keys and trust through it. It is shared by pointer, and safe for
// concurrent use once its fields are set.
type Wallet struct {
	Store   *Store             // nil for hosts of an overlay
	Signers map[string]*Signer // by name: "enrollment", ...; "self" is the store's key where it is not given
	Roots   []PublicKey        // trusted beside what the store says (its join token's controller, its assignment's roots)
	// Revoked reports whether a key is revoked: nobody would take what it signs; nil is none.
	Revoked func(PublicKey) bool
	// Join is the join token that a host gives to nodes whose join token it takes the place of, "" for none. See SuccessorOf.
	Join  string
	Known *Certificates // shared with other wallets, as their signatures are the same whoever is trusted; nil for its own

	mu       sync.Mutex
	from     anchor      // what stored was read from
	stored   []PublicKey // the store's roots
	trusted  []PublicKey // what verifier trusts
	verifier *Verifier
	known    Certificates // of all verifiers, where Known is nil
	own      Certificates // of the signers: what they say, without their signatures
}

// Wallets finds the wallet of who a machine runs as.
type Wallets func(id string) (*Wallet, error)

// Signer returns a signer by name. Errors wrap ErrNoKey, or are the store's.
func (w *Wallet) Signer(name string) (*Signer, error) {
	if s, ok := w.Signers[name]; ok && s != nil {
		return s, nil
	}
	if name != Self || w.Store == nil {
		return nil, fmt.Errorf("finding the signer %q: %w", shorten(name), ErrNoKey)
	}
	k, err := w.Store.Key()
	if err != nil {
		return nil, err
	}
	return &Signer{Key: k}, nil
}

// Issue signs claims as the signer of a name, unless its certificates do not permit them (see Signer.Permits and Sign): whoever got the
// token could not use it; or where its key is revoked, which is ErrRevoked. The claims are returned complete, with the times that the token has.
func (w *Wallet) Issue(name string, c Claims) (token string, issued *Claims, err error) {
	s, err := w.Signer(name)
	if err != nil {
		return "", nil, err
	}
	if w.Revoked != nil && s.Key != nil && w.Revoked(s.Key.Public()) {
		return "", nil, fmt.Errorf("signing as the issuer %q: %w: statecraft overlay rotate makes this host another one", shorten(name), ErrRevoked)
	}
	return s.issue(c, func(certificate string) (*Claims, error) {
		if above, ok := w.own.find(certificate, c.IssuedAt); ok {
			return above, nil
		}
		above, err := Inspect(certificate)
		if err == nil {
			w.own.remember([]verified{{certificate, above}})
		}
		return above, err
	})
}

// Verifier trusts Roots, the active assignment's roots and, while there is none, the join token's controller. It is the same one as
// long as these are the same, so that it remembers what it has verified.
func (w *Wallet) Verifier() (*Verifier, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Store != nil {
		from, roots, err := w.Store.trust(w.from)
		if err != nil {
			return nil, err
		}
		if from != w.from {
			w.from, w.stored = from, roots
		}
	}
	roots := slices.Concat(w.Roots, w.stored)
	if w.verifier == nil || !slices.Equal(w.trusted, roots) {
		w.trusted, w.verifier = roots, verifierThatKnows(w.certificates(), roots)
	}
	return w.verifier, nil
}

// Coherent is the assignment's Coherent, and remembers certificates together with the wallet's verifiers. It returns the token's claims.
func (w *Wallet) Coherent(a *Assignment, holder PublicKey, e Expect) (*Claims, error) {
	return a.coherent(w.certificates(), holder, e)
}

// SuccessorOf returns the join token that takes the place of the one that a node has come by, "" where there is none: where Join takes its place, the node had
// its place when Join was issued, and nothing about Join has ended, is revoked or is for other nodes. Who comes by a token that has been replaced is not given
// the one that replaces it, as somebody may have stolen that token.
func (w *Wallet) SuccessorOf(id string, node Identity, since, now time.Time) (string, error) {
	if w.Join == "" || id == "" {
		return "", nil
	}
	join, err := w.joinToken(w.Join, Expect{Now: now})
	if err != nil {
		return "", err
	}
	if !slices.Contains(join.Join.Replaces, id) || since.After(join.IssuedAt) || !MatchPattern(join.Join.Identities, string(node)) {
		return "", nil
	}
	return w.Join, nil
}

// CheckJoin reports why the join token of an assignment, if any, cannot take the place of the one that the node has.
func (w *Wallet) CheckJoin(a *Assignment, e Expect) error {
	if a.Join == "" {
		return nil
	}
	had, err := w.Store.JoinToken()
	if err != nil {
		return err
	}
	before, err := Inspect(had)
	if err != nil {
		return fmt.Errorf("the join token that the node has: %w", err)
	}
	e.Cell = a.Cell
	switch join, err := w.joinToken(a.Join, e); {
	case err != nil:
		return err
	case join.ID == before.ID:
		return nil
	case !join.Succeeds(before):
		return errors.New("the join token of the assignment does not take the place of the one that the node has")
	case !MatchPattern(join.Join.Identities, string(a.Identity)):
		return errors.New("the join token of the assignment is for other nodes")
	}
	return nil
}

// joinToken verifies a join token: it is to chain to what is trusted, and so is the controller that it names.
func (w *Wallet) joinToken(token string, e Expect) (*Claims, error) {
	v, err := w.Verifier()
	if err != nil {
		return nil, err
	}
	e.Purposes = []Purpose{PurposeJoin}
	join, err := v.Verify(token, e)
	if err != nil {
		return nil, fmt.Errorf("the join token that takes the place of others: %w", err)
	}
	controller, err := ParsePublicKey(join.Join.Controller)
	if err != nil || !v.roots[controller] {
		return nil, fmt.Errorf("the join token that takes the place of others: its controller is not trusted: %w", ErrIssuer)
	}
	for _, issuer := range join.Issuers() {
		if w.Revoked != nil && w.Revoked(issuer) {
			return nil, fmt.Errorf("the join token that takes the place of others: its issuer: %w", ErrRevoked)
		}
	}
	return join, nil
}

func (w *Wallet) certificates() *Certificates {
	if w.Known != nil {
		return w.Known
	}
	return &w.known
}

// anchor is what a store's roots are read from: the active assignment's file or, while there is none, the join token's, if any.
type anchor struct {
	assigned bool
	content  digest
}

// trust returns the roots that the store's content names, and what they are read from. They are not read again, but nil, where that is
// what is known.
func (s *Store) trust(known anchor) (from anchor, roots []PublicKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, content, sum, err := s.inUse()
	switch {
	case errors.Is(err, ErrNothing):
		return s.controller(known)
	case err != nil:
		return anchor{}, nil, fmt.Errorf("reading the node's assignment: %w", err)
	}
	if from = (anchor{assigned: true, content: sum}); from == known {
		return from, nil, nil
	}
	a, err := readAssignment(at.Active, content)
	if err != nil {
		return anchor{}, nil, fmt.Errorf("reading the node's assignment: %w", err)
	}
	roots, err = a.trusted()
	return from, roots, err
}

// controller returns the key that the join token pins, if any.
func (s *Store) controller(known anchor) (from anchor, roots []PublicKey, err error) {
	token, sum, err := s.open(joinFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return anchor{}, nil, nil
	case err != nil:
		return anchor{}, nil, fmt.Errorf("reading the join token: %w", err)
	}
	if from = (anchor{content: sum}); from == known {
		return from, nil, nil
	}
	c, err := Inspect(string(token))
	if err != nil || c.Join == nil || c.Join.Controller == "" {
		return from, nil, err
	}
	controller, err := ParsePublicKey(c.Join.Controller)
	return from, []PublicKey{controller}, err
}
