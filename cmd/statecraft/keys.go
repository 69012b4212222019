package main

import (
	"errors"
	"io/fs"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// keysVerbs make and read keys.
type keysVerbs struct {
	New    keysNewVerb    `cmd:"" help:"Make a key."`
	Show   keysShowVerb   `cmd:"" help:"Print the public key of a key file."`
	Rotate keysRotateVerb `cmd:"" help:"Change who signs what nodes run: make the next trust root."`
}

// keyResult is what keys new --json and keys show --json print.
type keyResult struct {
	File      string `json:"file"`
	PublicKey string `json:"public_key"` // 64 hexadecimal digits
	NKey      string `json:"nkey"`       // the same in the user form of NATS
}

// key prints the public half of a key.
func (inv *invocation) key(file string, k *identity.Key) error {
	r := keyResult{File: file, PublicKey: k.Public().String(), NKey: k.Public().NKey()}
	if inv.json {
		return inv.printJSON(r)
	}
	inv.table([][]string{{"public key", r.PublicKey}, {"nkey", r.NKey}})
	return nil
}

// loadKey reads a key file. Missing is the next step where it is not there.
func loadKey(file, missing string) (*identity.Key, error) {
	k, err := identity.LoadKey(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(exitFailed, missing, "%w", err)
	case errors.Is(err, identity.ErrDamaged):
		return nil, fail(exitInvalid, "a key file is one line of 64 hexadecimal digits, as statecraft keys new makes it", "%w", err)
	case err != nil:
		return nil, fail(exitFailed, "", "%w", err)
	}
	return k, nil
}

// parsePublicKey reads a public key in hexadecimal digits or in the user form of NATS.
func parsePublicKey(flag, text string) (identity.PublicKey, error) {
	k, err := identity.ParsePublicKey(text)
	if err == nil {
		return k, nil
	}
	if k, nkeyErr := identity.ParseNKey(text); nkeyErr == nil {
		return k, nil
	}
	return k, usage("statecraft keys show FILE prints the public key of a key file", "%s %q: %w", flag, text, err)
}
