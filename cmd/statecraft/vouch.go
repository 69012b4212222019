package main

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/builtin"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// vouchFlags say whose machines run that are in folders of the host itself.
type vouchFlags struct {
	SignedBy      []string `placeholder:"KEY" help:"Run machines whose folders this public key has signed with statecraft sign; once for each key."`
	AllowUnsigned bool     `help:"Run machines although nobody has signed them."`
}

// vouch is what decides which machines run; named are those that it is for, and dir is the host's own folder.
func (f vouchFlags) vouch(named, dir string) (runtime.Vouch, error) {
	if len(f.SignedBy) == 0 {
		if f.AllowUnsigned {
			return runtime.Unsigned, nil
		}
		return nil, fail(exitRefused, "statecraft sign --key FILE DIR signs a folder, and --signed-by KEY runs it; --allow-unsigned runs them all the same",
			"it is not said who signs %s", named)
	}
	keys, err := publicKeys("--signed-by", f.SignedBy)
	if err != nil {
		return nil, err
	}
	signed := builtin.SignedBy(keys, time.Now, registry.Copies{Dir: filepath.Join(dir, registry.CopiesFolder)})
	return func(d *runtime.Deployment) error {
		if f.AllowUnsigned && unsigned(d) {
			return runtime.Unsigned(d)
		}
		return notVouched(signed(d))
	}, nil
}

// coded reports whether an error has its exit code already.
func coded(err error) bool {
	_, ok := errors.AsType[*failure](err)
	return ok
}

// unsigned reports whether a machine has no signature, good or bad.
func unsigned(d *runtime.Deployment) bool {
	dir := d.Directory
	if d.Content == "" { // a lone manifest, which may be a link into a folder that is signed
		manifest, err := filepath.EvalSymlinks(d.Definition.Manifest.File)
		if err == nil && filepath.Base(manifest) != runtime.ManifestName {
			return true
		}
		dir = filepath.Dir(manifest)
	}
	signed, err := registry.HasSignature(dir)
	return err == nil && !signed // what cannot be said is left to who verifies it
}

// notVouched gives the refusal of a folder its exit code and the next step.
func notVouched(err error) error {
	refusal, refused := errors.AsType[*registry.Refusal](err)
	_, tampered := errors.AsType[*registry.Tampered](err)
	switch {
	case err == nil:
		return nil
	case refused && refusal.Reason == registry.Unsigned, errors.Is(err, builtin.ErrNoFolder):
		return fail(exitRefused, "statecraft sign --key FILE DIR signs it; --allow-unsigned runs what has no signature", "%w", err)
	case refused, tampered:
		return fail(exitRefused, "look what has changed, and sign it again with statecraft sign", "%w", err)
	default:
		return fail(exitFailed, "", "%w", err)
	}
}

// verifySigned holds a folder against the signature beside it.
func verifySigned(dir string, keys []identity.PublicKey) (*registry.SignedFolder, error) {
	s, err := registry.VerifyFolder(dir, keys, time.Now())
	return s, notVouched(err)
}
