package identity

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Assignment is what an overlay gives a node: one transaction. It is the Document of a signed document of PurposeAssignment.
type Assignment struct {
	Identity      Identity        `json:"identity"`
	Cell          string          `json:"cell"`
	URLs          []string        `json:"urls"`         // of the cell's brokers
	CA            string          `json:"ca,omitempty"` // PEM; what the brokers' certificates chain to
	Token         string          `json:"token"`        // of purpose node
	Roots         []string        `json:"roots"`        // public keys in hex that the node trusts from now on
	Configuration json.RawMessage `json:"configuration,omitempty"`
	Policies      json.RawMessage `json:"policies,omitempty"` // {"action": {name: text}, "opa": {name: Rego}}
	// Proof is the id of the node's proof that the overlay answers with this assignment. The cell is asked to confirm it by that.
	Proof   string `json:"proof,omitempty"`
	Upgrade string `json:"upgrade,omitempty"` // the version that the node is to run; "" is whichever it runs
	Message string `json:"message,omitempty"` // what who decided has to say
	// Join is the join token that takes the place of the one that the node has, "" for none. See Wallet.CheckJoin.
	Join string `json:"join,omitempty"`
	// Certificate and CertificateCA are the site's own, in PEM, for programs beside this one.
	Certificate   string `json:"certificate,omitempty"`
	CertificateCA string `json:"certificate_ca,omitempty"`

	// Unknown is what a later release has added, by key. It is used for nothing, and kept for the release that knows it.
	Unknown map[string]json.RawMessage `json:"-"`
}

// plainAssignment is an assignment as this release knows it.
type plainAssignment Assignment

// UnmarshalJSON reads an assignment, with what a later release has added.
func (a *Assignment) UnmarshalJSON(text []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	known := namesOf(reflect.TypeFor[Assignment]())
	maps.DeleteFunc(all, func(key string, _ json.RawMessage) bool {
		return slices.ContainsFunc(known, func(name string) bool { return strings.EqualFold(name, key) })
	})
	if err := json.Unmarshal(text, (*plainAssignment)(a)); err != nil {
		return err
	}
	a.Unknown = nil
	if len(all) > 0 {
		a.Unknown = all
	}
	return nil
}

// MarshalJSON writes an assignment, with what a later release has added.
func (a *Assignment) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal((*plainAssignment)(a))
	if err != nil || len(a.Unknown) == 0 {
		return text, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, a.Unknown)
	return json.Marshal(all)
}

// trusted reads the roots.
func (a *Assignment) trusted() ([]PublicKey, error) {
	roots := make([]PublicKey, 0, len(a.Roots))
	for _, text := range a.Roots {
		root, err := ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("a root of the assignment: %w", err)
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// wellFormed reports what no assignment may be.
func (a *Assignment) wellFormed() error {
	if _, err := Parse(string(a.Identity)); err != nil {
		return err
	}
	if _, err := a.trusted(); err != nil {
		return err
	}
	_, err := a.files()
	return err
}

// Coherent reports why an assignment cannot be the one of who holds the key: its token is to be a node's, of its identity and cell, for this
// key, and to verify against its own roots. Errors wrap those of Verify, or ErrAudience.
func (a *Assignment) Coherent(holder PublicKey, e Expect) error {
	_, err := a.coherent(&Certificates{}, holder, e)
	return err
}

func (a *Assignment) coherent(known *Certificates, holder PublicKey, e Expect) (*Claims, error) {
	roots, err := a.trusted()
	if err != nil {
		return nil, fmt.Errorf("checking an assignment: %w", err)
	}
	e.Purposes, e.Cell, e.SignedBy = []Purpose{PurposeNode}, a.Cell, PublicKey{}
	c, err := verifierThatKnows(known, roots).Verify(a.Token, e)
	switch {
	case err != nil:
		return nil, fmt.Errorf("checking an assignment's token: %w", err)
	case c.Cell != a.Cell:
		return nil, fmt.Errorf("checking an assignment: its token is for the cell %q: %w", c.Cell, ErrAudience)
	case c.Identity != a.Identity:
		return nil, fmt.Errorf("checking an assignment of %s: its token is for %s: %w", a.Identity, c.Identity, ErrAudience)
	case c.PublicKey != holder.String():
		return nil, fmt.Errorf("checking an assignment: its token is for another key: %w", ErrAudience)
	}
	return c, nil
}
