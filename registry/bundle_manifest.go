package registry

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

const (
	manifestFile = "machine.yaml"
	maxManifest  = 1 << 20 // bytes, as machine.Load takes
)

// manifestHead is what a bundle must know of its manifest.
type manifestHead struct {
	Name    string `yaml:"name,required"`
	Version string `yaml:"version,required"`
}

var errName = errors.New("start with a letter and use letters, digits, _ and - only, at most 64 of them")

// readManifest reads the name and the version that the machine.yaml of a folder has. It does not check the rest of it: machine.Load does.
func readManifest(root *os.Root) (name, version string, err error) {
	file, _, err := openRegular(root, manifestFile)
	if err != nil {
		return "", "", fmt.Errorf("reading the manifest: %w", err)
	}
	defer file.Close()
	src, err := io.ReadAll(&bounded{from: file, left: maxManifest, what: manifestFile})
	if err != nil {
		return "", "", fmt.Errorf("reading the manifest: %w", err)
	}
	n, list := strict.Parse(manifestFile, src)
	if n == nil || list.HasErrors() {
		return "", "", fmt.Errorf("reading the manifest: %w", list)
	}
	var head manifestHead
	if list := errorsOf(strict.Decode(n, &head, strict.Options{Unknown: diag.Warning})); len(list) > 0 {
		return "", "", fmt.Errorf("reading the manifest: %w", list)
	}
	if !machineName.MatchString(head.Name) {
		return "", "", fmt.Errorf("%q cannot be the name of a machine: %w", head.Name, errName)
	}
	return head.Name, head.Version, nil
}

// errorsOf leaves out the warnings: keys that are not the head's are not its concern.
func errorsOf(list diag.List) (found diag.List) {
	for _, d := range list {
		if d.Severity == diag.Error {
			found = append(found, d)
		}
	}
	return found
}
