package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// overlayRotateVerb replaces the keys of a host.
type overlayRotateVerb struct {
	Dir  string `required:"" placeholder:"DIR" help:"The cell's folder, with its authority."`
	Host string `arg:"" help:"The host whose keys are replaced."`
}

// Run makes the keys, and says what is to be done with them.
func (v *overlayRotateVerb) Run(inv *invocation) error {
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: v.Dir, Host: v.Host, Now: time.Now()})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitFailed, "--dir is the folder that statecraft overlay init made, with authority/ and hosts/ in it", "%w", err)
	case err != nil:
		return fail(exitFailed, "mend the cause and run the command again: it begins anew", "%w", err)
	}
	if inv.json {
		return inv.printJSON(r)
	}
	for _, m := range r.Made {
		inv.printf("%s  %s\n", m.Path, m.What)
	}
	inv.notef("1. copy %s to the host, and start it anew: what its new issuers sign is trusted by everybody", filepath.Join(v.Dir, "hosts", r.Host))
	inv.notef("2. in a cell of several hosts copy cluster.secret to the others and start them anew, one right after another")
	inv.notef("3. let nodes have tokens of the new issuers: within a day they renew by themselves; statecraft fleet reprovision is at once")
	for _, file := range r.Revoke {
		inv.notef("4. statecraft token revoke %s --yes --reason \"stolen\"", file)
	}
	if r.OldKey != "" {
		inv.notef("5. statecraft token revoke --key %s --force --reason \"stolen\"", r.OldKey)
	}
	inv.notef("after a theft 4 and 5 may come first: nodes whose tokens the old issuer signed enroll again then, by the join token that they have kept")
	return nil
}
