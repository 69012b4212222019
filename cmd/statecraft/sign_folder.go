package main

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
)

// signedFolder is a folder in what sign --json and verify --json print.
type signedFolder struct {
	Path    string    `json:"path"`
	Machine string    `json:"machine"`
	Version string    `json:"version"`
	Expires time.Time `json:"expires"`
	Signers []string  `json:"signers"`
}

func folderResult(path string, s *registry.SignedFolder) signedFolder {
	return signedFolder{Path: path, Machine: s.Name, Version: s.Version, Expires: s.Expires, Signers: names(s.Signers)}
}

// folders signs a machine's folder, or each one in a folder of several. What does not pass the check is not signed.
func (v *signVerb) folders(inv *invocation) error {
	if v.Output != "" {
		return usage("a folder's signature is DIR"+registry.SignedSuffix+", beside it", "--output is for the file of a list or root that is signed")
	}
	counts, err := lifetime(v.Expires)
	if err != nil {
		return err
	}
	signers, err := (&signingFlags{Key: v.Key}).signers(inv, "", "")
	if err != nil {
		return err
	}
	manifests, err := runtime.FindMachines(v.File)
	if err != nil {
		return findError(err, "nothing is signed: %w")
	}
	signed := []signedFolder{}
	for _, manifest := range manifests {
		if filepath.Base(manifest) != runtime.ManifestName {
			return fail(exitInvalid, "put it into a folder of its own, as "+runtime.ManifestName, "%s is in no folder of its own, and only folders are signed", manifest)
		}
		dir := filepath.Dir(manifest)
		if _, err := inv.oneMachine(dir); err != nil {
			return err
		}
		now := time.Now()
		s, err := registry.SignFolder(dir, now, now.Add(counts), signers...)
		if tampered, ok := errors.AsType[*registry.Tampered](err); ok {
			return fail(exitInvalid, "remove them: what is not signed may not lie there, and names that begin with a dot are not signed", "%s: %w", dir, tampered)
		}
		if err != nil {
			return fail(exitFailed, "", "%w", err)
		}
		signed = append(signed, folderResult(dir, s))
	}
	if inv.json {
		return inv.printJSON(signed)
	}
	for _, s := range signed {
		inv.printf("signed %s %s, until %s: %s\n", s.Machine, s.Version, instant(s.Expires), s.Path+registry.SignedSuffix)
	}
	return nil
}
