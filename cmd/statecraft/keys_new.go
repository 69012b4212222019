package main

import (
	"errors"
	"io/fs"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// keysNewVerb makes a key.
type keysNewVerb struct {
	File string `arg:"" help:"The file to make, in a folder that is there. A key is never replaced."`
}

// Run makes the file, which its owner alone may read, and prints the public key.
func (v *keysNewVerb) Run(inv *invocation) error {
	k, err := identity.NewKey()
	if err != nil {
		return err
	}
	switch err := k.Save(v.File); {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitFailed, "make the folder first", "%w", err)
	case err != nil:
		return fail(exitFailed, "choose another name; statecraft keys show prints what a key file holds", "%w", err)
	}
	return inv.key(v.File, k.Public())
}
