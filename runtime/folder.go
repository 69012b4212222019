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

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/journal"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// ManifestName is the manifest's file name in a machine's folder, as Choria has it.
const ManifestName = "machine.yaml"

// maxPayload bounds the files of one machine's folder, in bytes; more is refused.
const maxPayload = 1 << 30

// ErrNoMachine is returned for a path that holds no machine.
var ErrNoMachine = errors.New("no machine there")

// FindMachines returns the manifests that a path stands for: a manifest itself, the one of a machine's folder, or those of a folder of
// machines: every folder directly inside of it with a machine.yaml, and every YAML file directly inside of it. Links are followed.
// Names that begin with a dot are left out, as are scenario tests (_test.yaml). What is neither file nor folder is refused, since
// reading it might never end.
func FindMachines(given string) ([]string, error) {
	info, err := os.Stat(given) // before it is cleaned: "" is no path, not the present directory
	path := filepath.Clean(given)
	switch {
	case err != nil:
		return nil, fmt.Errorf("finding %q: %w", given, reason(err))
	case info.Mode().IsRegular():
		return []string{path}, nil
	case !info.IsDir():
		return nil, fmt.Errorf("%q is neither a file nor a directory: %w", path, ErrNoMachine)
	}
	if own := filepath.Join(path, ManifestName); isFile(own) {
		return []string{own}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("finding machines in %q: %w", path, reason(err))
	}
	var found []string
	for _, e := range entries {
		if manifest, ok := machineIn(path, e.Name()); ok {
			found = append(found, manifest)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the directory %q holds no %s: %w", path, ManifestName, ErrNoMachine)
	}
	return found, nil
}

// machineIn returns the manifest that an entry of a folder of machines stands for.
func machineIn(folder, entry string) (manifest string, ok bool) {
	name := filepath.Join(folder, entry)
	switch inner := filepath.Join(name, ManifestName); {
	case strings.HasPrefix(entry, "."):
		return "", false
	case isFile(inner):
		return inner, true
	case strings.HasSuffix(entry, ".yaml") && !strings.HasSuffix(entry, "_test.yaml"):
		info, err := os.Stat(name)
		return name, err != nil || info.Mode().IsRegular() // a link to nowhere is refused when it is read
	}
	return "", false
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// reason is why the system refused a path, for messages that name the path themselves.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// folderDigest identifies the files of a machine's folder whose change replaces the machine.
func folderDigest(folder string) (string, error) {
	sum := sha256.New()
	var total int64
	err := eachPart(folder, false, func(path string, info fs.FileInfo) error {
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

// eachPart calls f with the files that make a machine, of its folder or its lone manifest: YAML files, executable ones and
// SHA256SUMS; what is read with the manifest does too, by machine.Definition.Files. Other files beside them may be what the machine writes (logs, pid files, reports); they are read anew at every look
// anyway, and belong to it where all is asked for. A host's state folder that lies inside is none of the machine's. Only root may be a link.
func eachPart(root string, all bool, f func(path string, info fs.FileInfo) error) error {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && isFile(filepath.Join(journalDir(path), journal.LockName)) {
			return fs.SkipDir
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if all || path == root || info.Mode()&0o111 != 0 || strings.HasSuffix(path, ".yaml") || e.Name() == "SHA256SUMS" {
			return f(path, info)
		}
		return nil
	})
}

func hashFile(sum io.Writer, path string) error {
	f, err := statefile.Open(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(sum, f)
	return err
}

// folderStamp is a cheap sign of change: names, sizes, times and permissions of what folderDigest reads. Of a folder with a
// signature it is of that, too, and of all files, as all were signed.
func folderStamp(manifest string) string {
	var b strings.Builder
	root := manifest
	signed := false
	note := func(path string, info fs.FileInfo) error {
		_, err := fmt.Fprintf(&b, "%s %d %d %o\n", path, info.Size(), info.ModTime().UnixNano(), info.Mode().Perm())
		return err
	}
	if filepath.Base(manifest) == ManifestName {
		root = filepath.Dir(manifest)
		signed = noteSignature(root, note)
	}
	err := eachPart(root, signed, note)
	if err != nil {
		fmt.Fprintf(&b, "%v", err)
	}
	return b.String()
}

// noteSignature calls note with the signature of a folder, and reports whether it has one.
func noteSignature(folder string, note func(path string, info fs.FileInfo) error) bool {
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return false
	}
	info, err := os.Stat(real + registry.SignedSuffix)
	return err == nil && note(real, info) == nil
}

// FindAll returns the manifests that several paths stand for, each once, sorted, and for all that stand for none why.
func FindAll(paths []string) (manifests []string, err error) {
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
