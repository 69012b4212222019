package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime"
)

// manifestFiles returns the manifests that paths name, each once, in order. Everything that names none is
// an error.
func manifestFiles(paths []string) ([]string, error) {
	var files []string
	var errs []error
	for _, path := range paths {
		found, err := manifestsAt(path)
		errs = append(errs, err)
		for _, file := range found {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usage("name manifests, or directories that hold a "+runtime.ManifestName+"; statecraft new makes one", "%w", err)
	}
	return files, nil
}

// manifestsAt finds what a host would run of a path, and keeps away from what is no file: reading a pipe or
// a device might never end.
func manifestsAt(path string) ([]string, error) {
	if path == "-" {
		return nil, errors.New("a manifest is read from a file, not from standard input")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("finding %q: %w", path, reason(err))
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is neither a file nor a directory", path)
	}
	found, err := runtime.FindMachines(filepath.Clean(path))
	if errors.Is(err, runtime.ErrNoMachine) {
		return nil, fmt.Errorf("the directory %q holds no %s", path, runtime.ManifestName)
	}
	return found, err
}

// loadManifest reads and checks one manifest. The error is that of the file; what is wrong inside of it is in
// the list, and the definition is nil when that holds an error.
func loadManifest(file string) (*machine.Definition, diag.List, error) {
	src, err := readManifest(file)
	if err != nil {
		return nil, nil, err
	}
	d, list := machine.Load(file, src, catalogue())
	return d, list, nil
}

// readManifest reads a file to just beyond the length that a manifest may have, which Load then refuses.
func readManifest(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		hint := "check the path"
		if errors.Is(err, fs.ErrPermission) {
			hint = "check who may read the file"
		}
		return nil, fail(exitFailed, hint, "reading %q: %w", file, reason(err))
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading %q: %w", file, reason(err))
	}
	return src, nil
}

// oneMachine loads the only machine that a path names. What is wrong with it is printed and an error; warnings
// are left to check.
func (inv *invocation) oneMachine(path string) (*machine.Definition, error) {
	files, err := manifestFiles([]string{path})
	if err != nil {
		return nil, err
	}
	if len(files) > 1 {
		return nil, usage("name one of them", "%q holds %d machines", path, len(files))
	}
	d, list, err := loadManifest(files[0])
	if err != nil {
		return nil, err
	}
	if list.HasErrors() {
		fmt.Fprintln(inv.stderr, list.Error())
		return nil, fail(exitInvalid, "mend the manifest; statecraft check "+path+" shows it again", "%s is not valid", files[0])
	}
	return d, nil
}

// isRegular reports whether there is a file at path, through links.
func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
