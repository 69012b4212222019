package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/runtime/keyfile"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// overlayRotateVerb replaces the keys of a host, or of all.
type overlayRotateVerb struct {
	Dir  string `required:"" placeholder:"DIR" help:"The cell's folder, with its authority."`
	All  bool   `help:"Replace the keys of all hosts, the issuers of clients and join tokens, the operator's key and the join token, and renew the certificate of the authority."`
	Host string `arg:"" optional:"" help:"The host whose keys are replaced."`
}

// Run makes the keys, and says what is to be done with them.
func (v *overlayRotateVerb) Run(inv *invocation) error {
	if v.All && v.Host != "" {
		return usage("name the host, or give --all", "the keys of %s are among all", v.Host)
	}
	if !v.All && v.Host == "" {
		return usage("name the host, or give --all", "it is not said whose keys are to be replaced")
	}
	keys := inv.keyOpener()
	r, err := overlay.Rotate(overlay.RotateOptions{Dir: v.Dir, Host: v.Host, Now: time.Now(), Open: keys.Open, Renew: keys.Renew})
	switch {
	case errors.Is(err, keyfile.ErrHelper):
		return fail(exitFailed, "rotate the hosts one by one, and have the program make a key: statecraft keys helper and statecraft token issue issuer make its file and "+
			"its certificate; or move the key's file away, and a plain one is made", "%w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitFailed, "--dir is the folder that statecraft overlay init made, with authority/ and hosts/ in it", "%w", err)
	case err != nil:
		return fail(exitFailed, "mend the cause and run the command again: it goes on where it was", "%w", err)
	}
	slices.SortStableFunc(r.Revoke, func(a, b string) int { return rank(a) - rank(b) })
	if inv.json {
		return inv.printJSON(r)
	}
	for _, m := range r.Made {
		inv.printf("%s  %s\n", m.Path, m.What)
	}
	if r.Resumed {
		inv.notef("a rotation that was interrupted has been brought to its end; run the command once more where another one was meant")
	}
	if v.All {
		inv.notef("1. copy each folder below %s to its host, and start the hosts anew, one right after another: what they sign is trusted by everybody", filepath.Join(v.Dir, "hosts"))
		inv.notef("2. statecraft fleet reprovision --all --yes gives nodes tokens of the new issuers, the renewed certificate of the authority, and the new join token in place of the one that they have")
		inv.notef("3. issue clients anew, and join tokens that were issued beside join.jwt: those of the issuers before end when these are revoked")
		v.noteNew(inv, r.Made)
	} else {
		inv.notef("1. copy %s to the host, and start it anew: what its new issuers sign is trusted by everybody", filepath.Join(v.Dir, "hosts", r.Host))
		inv.notef("2. in a cell of several hosts copy cluster.secret to the others and start them anew, one right after another")
		inv.notef("3. let nodes have tokens of the new issuers: within a day they renew by themselves; statecraft fleet reprovision is at once")
	}
	noteRevoke(inv, r)
	return nil
}

// noteRevoke says what of the keys before is to be revoked, and that of join tokens is the last, as nodes enroll again by the token that they have kept.
func noteRevoke(inv *invocation, r *overlay.Rotated) {
	join := slices.IndexFunc(r.Revoke, isJoinIssuer)
	if join < 0 {
		join = len(r.Revoke)
	}
	for _, file := range r.Revoke[:join] {
		inv.notef("4. statecraft token revoke %s --yes --reason \"stolen\"", file)
	}
	for _, key := range r.OldKeys {
		inv.notef("5. statecraft token revoke --key %s --force --reason \"stolen\"", key)
	}
	for _, file := range r.Revoke[join:] {
		inv.notef("6. last, when all nodes have enrolled again: statecraft token revoke %s --yes --reason \"stolen\"; a node that came by another join token than join.jwt, or was away, enrolls after that only when it is run with --join and a new one", file)
	}
	for _, folder := range r.Kept {
		inv.notef("7. when that is revoked remove %s, which is what it is remembered by", folder)
	}
	inv.notef("after a theft 4 and 5 may come first: nodes whose tokens the old issuer signed enroll again then, by the join token that they have kept")
}

// rank is the place of a file among those that are revoked one after another.
func rank(file string) int {
	if isJoinIssuer(file) {
		return 1
	}
	return 0
}

// isJoinIssuer reports whether a file is the certificate of the issuer of the cell's join tokens.
func isJoinIssuer(file string) bool {
	return filepath.Base(file) == "join.jwt" && filepath.Base(filepath.Dir(file)) == "authority"
}

// noteNew says what of a whole cell was not there, and so was not made anew.
func (v *overlayRotateVerb) noteNew(inv *invocation, made []overlay.Made) {
	for _, kept := range []string{filepath.Join("operator", "context.json"), "join.jwt"} {
		path := filepath.Join(v.Dir, kept)
		if !slices.ContainsFunc(made, func(m overlay.Made) bool { return m.Path == path }) {
			inv.notef("%s was not there, and none was made: statecraft overlay init makes one by the new issuers", path)
			if kept == "join.jwt" {
				inv.notef("nodes are given no other join token then: where the one before is somewhere else put it there and run the command again, or run nodes once with --join and a new one")
			}
		}
	}
}
