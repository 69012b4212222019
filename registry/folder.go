package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// A machine's folder is signed for hosts that are in no cell: beside NAME lies NAME.signed, a spec of the channel FolderChannel with one entry, whose
// checksum file the folder has. It says what may run, and has no serial to hold it against: who may replace both can put back what was
// signed before, until that expires.

// SignedSuffix follows the name of a machine's folder in the name of the file with its signature.
const SignedSuffix = ".signed"

// FolderChannel is of specs that are signed for a folder: no cell publishes them, and what a cell publishes is none of them.
const FolderChannel = "folder"

// maxSigned bounds a folder's signature in bytes.
const maxSigned = 64 << 10

// SignedFolder is a machine's folder and who vouches for it.
type SignedFolder struct {
	Name, Version string
	Expires       time.Time
	Signers       []identity.PublicKey // those of the keys asked for that have signed
	Sums          string               // sha256 of its SHA256SUMS, hex
	Manifest      string               // sha256 of its machine.yaml, hex
	Files         map[string]string    // sha256 of all its files, hex, by path
}

// SignFolder signs a machine's folder until a time: it writes the folder's SHA256SUMS, and its signature beside the folder. A file that no bundle
// has, such as one that begins with a dot, is an error: nothing that was not signed may lie there.
func SignFolder(dir string, now, expires time.Time, signers ...Signer) (*SignedFolder, error) {
	dir, err := realFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("signing a folder: %w", err)
	}
	b, err := Pack(dir)
	if err != nil {
		return nil, err
	}
	now = now.UTC().Truncate(time.Second)
	s := &Spec{
		Type: SpecType, Channel: FolderChannel, Serial: 1, Issued: now, Expires: expires.UTC().Truncate(time.Second),
		Machines: []Entry{{
			Name: b.Name, Version: b.Version, Source: "object://FOLDER/" + b.Digest, Checksum: b.Digest, Verify: SumsFile, VerifyChecksum: b.SumsDigest,
		}},
	}
	envelope, err := Sign(s, signers...)
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, SumsFile), b.Sums, 0o644)
	}
	if err == nil {
		err = Verify(dir, SumsFile, b.SumsDigest)
	}
	if err == nil {
		err = renameio.WriteFile(dir+SignedSuffix, append(envelope, '\n'), 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", dir, err)
	}
	var keys []identity.PublicKey
	for _, k := range signers {
		keys = append(keys, k.Public())
	}
	return &SignedFolder{Name: b.Name, Version: b.Version, Expires: s.Expires, Signers: keys, Sums: b.SumsDigest}, nil
}

// VerifyFolder holds a machine's folder against its signature, which one of the keys must have made. Errors are *Refusal where there is no good signature,
// and *Tampered where the folder is not as it was signed.
func VerifyFolder(dir string, keys []identity.PublicKey, now time.Time) (*SignedFolder, error) {
	dir, err := realFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("verifying a folder: %w", err)
	}
	envelope, err := readAtMost(dir+SignedSuffix, maxSigned)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, refuse(Unsigned, "there is no %s", dir+SignedSuffix)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signature of a folder: %w", err)
	}
	s, err := ReadSpec(bytes.TrimSpace(envelope), &Root{Roles: map[string]Role{RoleSpec: {Keys: keys, Threshold: 1}}})
	switch {
	case err != nil:
		return nil, err
	case s.Channel != FolderChannel || len(s.Machines) != 1 || s.Machines[0].VerifyChecksum == "":
		return nil, refuse(WrongPlace, "it is for the channel %s, and no folder's", s.Channel)
	case s.Issued.After(now.Add(clockSkew)):
		return nil, refuse(NotYet, "it was issued at %s, which is to come", s.Issued.Format(time.RFC3339))
	case !now.Before(s.Expires):
		return nil, refuse(Expired, "its signature ended at %s", s.Expires.Format(time.RFC3339))
	}
	e := s.Machines[0]
	if err := Verify(dir, e.Verify, e.VerifyChecksum); err != nil {
		return nil, err
	}
	signed := &SignedFolder{Name: e.Name, Version: e.Version, Expires: s.Expires, Sums: e.VerifyChecksum}
	sums, err := readAtMost(filepath.Join(dir, e.Verify), maxSums)
	if err != nil {
		return nil, fmt.Errorf("reading the checksums of a folder: %w", err)
	}
	if digestOf(sums) != e.VerifyChecksum {
		return nil, &Tampered{Changed: []string{e.Verify}}
	}
	listed, err := readSums(sums)
	if err != nil {
		return nil, err
	}
	signed.Manifest, signed.Files = listed["machine.yaml"], listed
	all, err := Signers(bytes.TrimSpace(envelope))
	for _, key := range all {
		if slices.Contains(keys, key) {
			signed.Signers = append(signed.Signers, key)
		}
	}
	return signed, err
}

// HasSignature reports whether a file with a signature, good or bad, lies beside a machine's folder, where VerifyFolder looks for it.
func HasSignature(dir string) (bool, error) {
	dir, err := realFolder(dir)
	if err != nil {
		return false, err
	}
	switch _, err := os.Lstat(dir + SignedSuffix); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	default:
		return err == nil, err
	}
}

// realFolder is a folder with no link in its path: the signature lies beside the folder itself.
func realFolder(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}

// readAtMost reads a file that is no longer than it may be.
func readAtMost(name string, most int64) ([]byte, error) {
	return statefile.ReadChecked(name, func(info fs.FileInfo) error {
		if info.Size() > most {
			return refuse(TooLarge, "%s has more than %d bytes", name, most)
		}
		return nil
	})
}
