// Package credentials holds the watchers of who a machine runs as: identity keeps a node's key and assignments, token issues, verifies,
// renews and stores signed documents. They reach keys and trust through wallets, open no connection, and put no secret into what they
// report. Which documents there are, and what they say, is in manifests.
package credentials

import (
	"context"
	"errors"
	"slices"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// The codes of what the properties can have wrong.
const (
	CodeNeeded diag.Code = "SC343" // a property that the action needs is missing
	CodeUnread diag.Code = "SC344" // a property that the action does not read is given
)

// Types returns the identity and token watchers. Refresh is called after a look that changed the credentials (key, assignment or token) of
// who the machine runs as; it may be nil, and so may wallets: looks then fail with a message that says so.
func Types(wallets identity.Wallets, refresh func(id string)) []watchers.Type {
	h := holders{wallets: wallets, refresh: refresh}
	return []watchers.Type{identityType(h), tokenType(h)}
}

// holders finds what identities hold.
type holders struct {
	wallets identity.Wallets
	refresh func(id string)
}

var (
	errNoWallets = errors.New("there are no keys here: run the machine on a node or an overlay host")
	errNoStore   = errors.New("this host keeps no node's identity: run the machine on a node")
)

// wallet returns the wallet of who the machine runs as.
func (h holders) wallet(look *watchers.Look) (*identity.Wallet, error) {
	if h.wallets == nil {
		return nil, errNoWallets
	}
	w, err := h.wallets(look.Identity)
	if err == nil && w == nil {
		err = errNoWallets
	}
	return w, err
}

// stored returns a wallet that has a store.
func (h holders) stored(look *watchers.Look) (*identity.Wallet, error) {
	w, err := h.wallet(look)
	if err == nil && w.Store == nil {
		err = errNoStore
	}
	return w, err
}

// changing runs f and returns what the store then holds. Where f changed what its owner is known by, connections are made anew.
func (h holders) changing(look *watchers.Look, s *identity.Store, f func() error) (identity.Standing, error) {
	before := s.Mark()
	err := f()
	now := s.Standing()
	if h.refresh != nil && now.Mark != before {
		h.refresh(look.Identity)
	}
	return now, err
}

// checker is a look that is one function.
type checker func(look *watchers.Look) watchers.Report

// Check implements watchers.Checker.
func (c checker) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	if err := ctx.Err(); err != nil {
		return watchers.Failure("the look was ended before it began")
	}
	return c(look)
}

// failure reports an error as it is.
func failure(err error) watchers.Report { return watchers.Failed(err) }

// reads is which properties an action reads: those it needs, and those it may have.
type reads struct{ needs, may []string }

// check holds the properties that are given against what the action reads. The action itself is always read.
func (r reads) check(w *machine.WatcherSpec, action string, known []string) (list diag.List) {
	for _, key := range r.needs {
		if w.Properties.Get(key) == nil {
			list.Add(diag.Error, CodeNeeded, w.Place("properties"), "add "+key+" to the properties", "the action %s needs %s", action, key)
		}
	}
	for _, key := range known {
		if n := w.Properties.Get(key); n != nil && !slices.Contains(r.needs, key) && !slices.Contains(r.may, key) {
			list.Add(diag.Error, CodeUnread, n.Pos, "remove it, or choose the action that reads it", "the action %s does not read %s", action, key)
		}
	}
	return list
}
