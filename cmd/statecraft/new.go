package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
)

// newVerb makes the directory of a machine.
type newVerb struct {
	Dir      string `placeholder:"PARENT" default:"." help:"Make the machine's directory in this one."`
	Template string `enum:"service,schedule" default:"service" help:"What to start from: service keeps a service running, schedule does a job at its times."`
	Name     string `arg:"" help:"Name of the machine and of its directory."`
}

// newResult is what new --json prints.
type newResult struct {
	Machine   string   `json:"machine"`
	Directory string   `json:"directory"`
	Files     []string `json:"files"` // relative to the directory
}

//go:embed templates
var templates embed.FS

// placeholder stands for the machine's name in the templates.
const placeholder = "MACHINE_NAME_HERE"

// Run writes the files of the template and says what to do with them.
func (v *newVerb) Run(inv *invocation) error {
	files, err := v.render()
	if err != nil {
		return err
	}
	dir := filepath.Join(v.Dir, v.Name)
	if err := writeNew(dir, files); err != nil {
		return err
	}
	if inv.json {
		r := newResult{Machine: v.Name, Directory: dir}
		for _, f := range files {
			r.Files = append(r.Files, f.name)
		}
		return inv.printJSON(r)
	}
	for _, f := range files {
		inv.printf("%s\n", filepath.Join(dir, f.name))
	}
	inv.notef("next: statecraft check %s", dir)
	return nil
}

// newFile is one file of a machine's directory.
type newFile struct {
	name    string
	content string
	mode    fs.FileMode
}

// render fills in the template. The name is refused as check would refuse it.
func (v *newVerb) render() ([]newFile, error) {
	root := path.Join("templates", v.Template)
	entries, err := templates.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("reading the template %s: %w", v.Template, err)
	}
	var files []newFile
	for _, e := range entries {
		content, err := templates.ReadFile(path.Join(root, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the template %s: %w", v.Template, err)
		}
		f := newFile{name: e.Name(), content: strings.ReplaceAll(string(content), placeholder, v.Name), mode: 0o644}
		if strings.HasPrefix(f.content, "#!") {
			f.mode = 0o755
		}
		if f.name == runtime.ManifestName {
			if err := v.refused(f.content); err != nil {
				return nil, err
			}
		}
		files = append(files, f)
	}
	return files, nil
}

// refused says why the name cannot be a machine's.
func (v *newVerb) refused(manifest string) error {
	d, list := machine.Load(runtime.ManifestName, []byte(manifest), catalogue())
	for _, f := range list {
		if f.Code == "SC101" {
			return usage(f.Hint, "%s", f.Message)
		}
	}
	if d == nil || d.Manifest.Name != v.Name { // YAML reads something else there, such as a comment
		return usage("start with a letter and use letters, digits, _ and - only", "%q cannot be the name of a machine", v.Name)
	}
	return nil
}

// writeNew makes the directory, which must not be there, and its files, or nothing.
func writeNew(dir string, files []newFile) error {
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return usage("choose another name, or another directory with --dir", "%q is there already", dir)
	} else if err != nil {
		return fail(exitFailed, "check that the parent directory is there and who may write to it", "making the directory %q: %w", dir, reason(err))
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.content), f.mode); err != nil {
			return errors.Join(fmt.Errorf("writing %q: %w", filepath.Join(dir, f.name), reason(err)), os.RemoveAll(dir))
		}
	}
	return nil
}
