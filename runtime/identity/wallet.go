package identity

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Self is the name of the signer that is the store's own key.
const Self = "self"

// Wallet is what somebody that machines run as has: watchers reach keys and trust through it. It is shared by pointer, and safe for
// concurrent use once its fields are set.
type Wallet struct {
	Store   *Store             // nil for hosts of an overlay
	Signers map[string]*Signer // by name: "enrollment", ...; "self" is the store's key where it is not given
	Roots   []PublicKey        // trusted beside what the store says (its join token's controller, its assignment's roots)

	mu       sync.Mutex
	trusted  []PublicKey // what verifier trusts
	verifier *Verifier
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

// Verifier trusts Roots, the active assignment's roots and, while there is none, the join token's controller. It is the same one as
// long as these are the same, so that it remembers what it has verified.
func (w *Wallet) Verifier() (*Verifier, error) {
	roots, err := w.roots()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.verifier == nil || !slices.Equal(w.trusted, roots) {
		w.trusted, w.verifier = roots, NewVerifier(roots...)
	}
	return w.verifier, nil
}

func (w *Wallet) roots() ([]PublicKey, error) {
	if w.Store == nil {
		return w.Roots, nil
	}
	a, err := w.Store.Active()
	if err == nil {
		roots, err := a.trusted()
		return slices.Concat(w.Roots, roots), err
	}
	if !errors.Is(err, ErrNothing) {
		return nil, err
	}
	controller, err := w.Store.controller()
	if err != nil || controller == (PublicKey{}) {
		return w.Roots, err
	}
	return slices.Concat(w.Roots, []PublicKey{controller}), nil
}

// controller returns the key that the join token pins, zero where there is none.
func (s *Store) controller() (PublicKey, error) {
	token, err := s.JoinToken()
	if errors.Is(err, ErrNothing) {
		return PublicKey{}, nil
	}
	if err != nil {
		return PublicKey{}, err
	}
	c, err := Inspect(token)
	if err != nil || c.Join == nil || c.Join.Controller == "" {
		return PublicKey{}, err
	}
	return ParsePublicKey(c.Join.Controller)
}
