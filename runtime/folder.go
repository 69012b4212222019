package runtime

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
)

// ManifestName is the manifest's file name in a machine's folder, as Choria has it.
const ManifestName = "machine.yaml"

// maxPayload bounds the files of one machine's folder, in bytes; more is refused.
const maxPayload = 1 << 30

// ErrNoMachine is returned for a path that holds no machine.
var ErrNoMachine = errors.New("no machine there")

// FindMachines returns the manifests that a path stands for: a manifest itself, the one of a machine's folder, or those of
// all machine folders directly inside of a folder. Files that end in _test.yaml are scenario tests, not manifests.
func FindMachines(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("looking for machines: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	if own := filepath.Join(path, ManifestName); isFile(own) {
		return []string{own}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("looking for machines: %w", err)
	}
	var found []string
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		switch inner := filepath.Join(name, ManifestName); {
		case e.IsDir() && isFile(inner):
			found = append(found, inner)
		case !e.IsDir() && strings.HasSuffix(e.Name(), ".yaml") && !strings.HasSuffix(e.Name(), "_test.yaml"):
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w: neither %s in it nor a folder with one", path, ErrNoMachine, ManifestName)
	}
	return found, nil
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// LoadMachine reads a manifest and what lies beside it. Deployment is only usable when the list holds no error.
func LoadMachine(manifest string, catalogue machine.Catalogue) (Deployment, diag.List, error) {
	src, err := os.ReadFile(manifest)
	if err != nil {
		return Deployment{}, nil, fmt.Errorf("reading a machine: %w", err)
	}
	def, problems := machine.Load(manifest, src, catalogue)
	folder, err := filepath.Abs(filepath.Dir(manifest))
	if err != nil {
		return Deployment{}, problems, fmt.Errorf("reading a machine: %w", err)
	}
	d := Deployment{Definition: def, Directory: folder}
	if filepath.Base(manifest) == ManifestName {
		d.Content, err = folderDigest(folder)
	}
	return d, problems, err
}

// folderDigest identifies the files of a machine's folder whose change replaces the machine.
func folderDigest(folder string) (string, error) {
	sum := sha256.New()
	var total int64
	err := eachPart(folder, func(path string, info fs.FileInfo) error {
		if total += info.Size(); total > maxPayload {
			return fmt.Errorf("%s holds more than %d bytes", folder, maxPayload)
		}
		_, _ = fmt.Fprintf(sum, "%q %o %d\n", path, info.Mode().Perm(), info.Size())
		return hashFile(sum, path)
	})
	if err != nil {
		return "", fmt.Errorf("reading a machine's folder: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// eachPart calls f with the files that make a machine: YAML files, executable ones and SHA256SUMS. Other files beside
// them may be what the machine writes (logs, pid files, reports); they are read anew at every look anyway.
func eachPart(folder string, f func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode()&0o111 != 0 || strings.HasSuffix(path, ".yaml") || e.Name() == "SHA256SUMS" {
			return f(path, info)
		}
		return nil
	})
}

func hashFile(sum io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(sum, f)
	return err
}

// folderStamp is a cheap sign of change: names, sizes, times and permissions of what folderDigest reads.
func folderStamp(manifest string) string {
	var b strings.Builder
	root := manifest
	if filepath.Base(manifest) == ManifestName {
		root = filepath.Dir(manifest)
	}
	err := eachPart(root, func(path string, info fs.FileInfo) error {
		_, err := fmt.Fprintf(&b, "%s %d %d %o\n", path, info.Size(), info.ModTime().UnixNano(), info.Mode().Perm())
		return err
	})
	if err != nil {
		fmt.Fprintf(&b, "%v", err)
	}
	return b.String()
}

// manifestsOf returns the manifests of all paths, each once, and what could not be looked at.
func manifestsOf(paths []string) (manifests []string, err error) {
	var errs []error
	for _, path := range paths {
		found, err := FindMachines(path)
		if err != nil {
			errs = append(errs, err)
		}
		manifests = append(manifests, found...)
	}
	slices.Sort(manifests)
	return slices.Compact(manifests), errors.Join(errs...)
}
