// Package builtin brings the machines that come with the program to a host: it reads them, lets a site's own take their
// place, and gives every one the site's configuration as its input. What they do is in package manifests, as YAML.
package builtin

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
)

// Set is what a host runs.
type Set struct {
	Folder string // of package manifests: "node" or "overlay"
	// Also are manifests of other folders of that package, such as node/bundle.yaml.
	Also []string
	// Overrides is a folder of machines, as `statecraft run` takes them, that run in place of those of the same name or beside
	// them; "" for none.
	Overrides string
	// Without names machines of the folder that do not run.
	Without []string
}

// Load reads the machines of a set. The error of manifests with findings is a diag.List.
func Load(s Set, c runtime.Catalogue) ([]runtime.Deployment, error) {
	names, err := fs.Glob(manifests.Files, path.Join(s.Folder, "*.yaml"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("reading the built-in machines of %q: there are none", s.Folder)
	}
	names = append(names, s.Also...)
	own, err := overrides(s.Overrides, c)
	if err != nil {
		return nil, err
	}
	var set []runtime.Deployment
	for _, name := range names {
		machineName := strings.TrimSuffix(path.Base(name), ".yaml")
		if strings.HasSuffix(name, "_test.yaml") || slices.Contains(s.Without, machineName) || own[machineName] != nil {
			continue
		}
		src, err := manifests.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading the built-in machine %q: %w", machineName, err)
		}
		def, problems := machine.Load(name, src, c)
		if err := problems.Err(); err != nil {
			return nil, fmt.Errorf("built-in machine %q: %w", machineName, err)
		}
		set = append(set, runtime.Deployment{Definition: def})
	}
	for _, d := range own {
		set = append(set, *d)
	}
	return set, nil
}

// overrides reads a site's own machines, by name.
func overrides(folder string, c runtime.Catalogue) (map[string]*runtime.Deployment, error) {
	if folder == "" {
		return nil, nil
	}
	found, err := runtime.FindMachines(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the site's machines: %w", err)
	}
	own := map[string]*runtime.Deployment{}
	var all diag.List
	for _, file := range found {
		d, problems, err := runtime.LoadMachine(file, c)
		if err != nil {
			return nil, fmt.Errorf("reading the site's machines: %w", err)
		}
		all = append(all, problems...)
		if d.Definition != nil {
			own[d.Definition.Manifest.Name] = &d
		}
	}
	return own, all.Err()
}

// Deploy deploys a set to a host, each machine as the identity given ("" is the host's) and with the input given. Templates
// come first, so that whoever starts instances finds them.
func Deploy(ctx context.Context, h *runtime.Host, set []runtime.Deployment, id string, input map[string]any) error {
	return Start(ctx, h.Deploy, set, id, input)
}

// Start is Deploy by a function that deploys one machine, which may have reasons to leave it.
func Start(ctx context.Context, deploy func(context.Context, runtime.Deployment) error, set []runtime.Deployment, id string, input map[string]any) error {
	for _, templates := range []bool{true, false} {
		for _, d := range set {
			if (d.Definition.Manifest.Kind == machine.KindTemplate) != templates {
				continue
			}
			d.Identity, d.Input = id, input
			if err := deploy(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}
