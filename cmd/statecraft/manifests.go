package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
)

// manifestFiles returns the manifests that a host would run of the paths. Every path that names none is an error.
func manifestFiles(paths []string) ([]string, error) {
	files, err := runtime.FindAll(paths)
	return files, findError(err, "%w")
}

// findError gives an error of runtime.FindAll its exit code and the next step; format is what it is told with.
func findError(err error, format string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, runtime.ErrNoMachine):
		return usage("name manifests, or directories that hold a "+runtime.ManifestName+"; statecraft new makes one", format, err)
	default:
		return fail(exitFailed, "check who may read it", format, err)
	}
}

// loadTogether loads manifests that are to run together, beside what runs already. The error is that of reading a file.
func loadTogether(files []string, running []*machine.Definition) (runtime.Together, error) {
	var offers []runtime.Offer
	for _, file := range files {
		o, err := runtime.OfferText(file)
		if err != nil {
			return runtime.Together{}, findError(fmt.Errorf("reading %q: %w", file, reason(err)), "%w")
		}
		offers = append(offers, o)
	}
	return runtime.Load(offers, running, catalogue()), nil
}

// loadManifest loads one manifest. The error is that of reading the file; what is wrong inside of it is in the list, and the definition is nil
// when that holds an error.
func loadManifest(file string) (*machine.Definition, diag.List, error) {
	t, err := loadTogether([]string{file}, nil)
	if err != nil || len(t.Ready) == 0 {
		return nil, t.Findings, err
	}
	return t.Ready[0].Definition, t.Findings, nil
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
