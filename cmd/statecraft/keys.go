package main

import (
	"errors"
	"io/fs"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/keyfile"
)

// keysVerbs make and read keys.
type keysVerbs struct {
	New        keysNewVerb        `cmd:"" help:"Make a key."`
	Show       keysShowVerb       `cmd:"" help:"Print the public key of a key file."`
	Passphrase keysPassphraseVerb `cmd:"" help:"Give a key file a passphrase, another one, or none."`
	Helper     keysHelperVerb     `cmd:"" help:"Make a key file that names a program which has the key."`
	Rotate     keysRotateVerb     `cmd:"" help:"Change who signs what nodes run: make the next trust root."`
}

// keyResult is what keys new --json and keys show --json print.
type keyResult struct {
	File      string `json:"file"`
	PublicKey string `json:"public_key"` // 64 hexadecimal digits
	NKey      string `json:"nkey"`       // the same in the user form of NATS
}

// key prints the public half of a key.
func (inv *invocation) key(file string, k identity.PublicKey) error {
	r := keyResult{File: file, PublicKey: k.String(), NKey: k.NKey()}
	if inv.json {
		return inv.printJSON(r)
	}
	inv.table([][]string{{"public key", r.PublicKey}, {"nkey", r.NKey}})
	return nil
}

// keyForms is the next step where a key file is damaged.
const keyForms = "a key file is one line of 64 hexadecimal digits, as statecraft keys new makes it, a file of keys passphrase, or one of keys helper"

// loadKey reads a key file. Missing is the next step where it is not there.
func (inv *invocation) loadKey(file, missing string) (*identity.Key, error) {
	k, err := inv.keyOpener().Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fail(exitFailed, missing, "%w", err)
	case errors.Is(err, identity.ErrDamaged):
		return nil, fail(exitInvalid, keyForms, "%w", err)
	case errors.Is(err, keyfile.ErrPassphrase):
		return nil, fail(exitRefused, "run it on a terminal, or name a file or descriptor whose first line is the passphrase in "+passphraseVariable, "%w", err)
	case err != nil:
		return nil, fail(exitFailed, "", "%w", err)
	}
	return k, nil
}

// loadPublic reads the public key of a key file, for which no passphrase is asked. Missing is the next step where it is not there.
func loadPublic(file, missing string) (identity.PublicKey, error) {
	k, err := keyfile.Public(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return k, fail(exitFailed, missing, "%w", err)
	case errors.Is(err, identity.ErrDamaged):
		return k, fail(exitInvalid, keyForms, "%w", err)
	case err != nil:
		return k, fail(exitFailed, "", "%w", err)
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
