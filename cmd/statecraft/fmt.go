package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/watchers/reformat"
)

// fmtVerb brings manifests into their canonical form.
type fmtVerb struct {
	Write bool     `xor:"mode" help:"Write the files anew, where they are. Without it or --check one manifest is printed as it would be, and of several the names of those that would change; nothing is written."`
	Check bool     `xor:"mode" help:"Write nothing, and fail where a file is not as fmt would write it."`
	Paths []string `arg:"" name:"path" help:"Manifests, or directories with files that end in .yaml or .yml, also in directories below. Of these, what is no manifest of a format is left alone. Without a flag nothing is written: a single file is printed as it would be, of several the names of those that would change."`
}

// fmtResult is what fmt --json prints.
type fmtResult struct {
	Changed  []string           `json:"changed"`            // files that are not as fmt writes them, or were not
	Checked  int                `json:"checked"`            // files that were read
	Problems []reformat.Problem `json:"problems,omitempty"` // what keeps every file as it is
}

// Run formats every file. Where one cannot be rewritten none is written.
func (v *fmtVerb) Run(inv *invocation) error {
	files, err := yamlFiles(v.Paths)
	if err != nil {
		return err
	}
	r := fmtResult{Changed: []string{}, Checked: len(files)}
	formatted := map[string][]byte{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return fail(exitFailed, "name files that can be read", "reading %q: %w", file, reason(err))
		}
		out, found := reformat.Manifest(file, src, catalogue())
		r.Problems = append(r.Problems, found...)
		if formatted[file] = out; len(found) == 0 && !bytes.Equal(out, src) {
			r.Changed = append(r.Changed, file)
		}
	}
	if len(r.Problems) > 0 {
		return r.refuse(inv)
	}
	if v.Write {
		if err := writeAll(r.Changed, formatted); err != nil {
			return err
		}
	}
	return v.print(inv, files, formatted, r)
}

// refuse prints what cannot be rewritten.
func (r fmtResult) refuse(inv *invocation) error {
	if inv.json {
		if err := inv.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, p := range r.Problems {
			inv.notef("%s", p)
			if p.Hint != "" {
				inv.notef("  hint: %s", p.Hint)
			}
		}
	}
	return fail(exitInvalid, "mend what is named above; no file was written", "%s cannot be rewritten", counted(len(r.Problems), "place"))
}

func (v *fmtVerb) print(inv *invocation, files []string, formatted map[string][]byte, r fmtResult) error {
	switch {
	case inv.json:
		if err := inv.printJSON(r); err != nil {
			return err
		}
	case !v.Write && !v.Check && len(files) == 1:
		inv.printf("%s", formatted[files[0]])
	default:
		for _, file := range r.Changed {
			inv.printf("%s\n", file)
		}
		switch {
		case v.Write || v.Check:
		case len(r.Changed) == 0:
			inv.notef("%s checked, none would be written anew", counted(len(files), "file"))
		default:
			inv.notef("%s of %d would be written anew, none was; statecraft fmt --write writes them", counted(len(r.Changed), "file"), len(files))
		}
	}
	if v.Check && len(r.Changed) > 0 {
		return fail(exitFailed, "statecraft fmt --write writes them", "%s of %d would be written anew", counted(len(r.Changed), "file"), len(files))
	}
	return nil
}

func writeAll(names []string, contents map[string][]byte) error {
	for _, file := range names {
		target, err := filepath.EvalSymlinks(file) // a link stays one
		if err == nil {
			err = renameio.WriteFile(target, contents[file], 0o644) // which keeps the permissions of a file that exists
		}
		if err != nil {
			return fail(exitFailed, "name files in directories that can be written", "writing %q: %w", file, reason(err))
		}
	}
	return nil
}

// yamlFiles lists files, and those in directories that could be manifests, each once.
func yamlFiles(paths []string) ([]string, error) {
	var files []string
	add := func(file string) {
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			add(path)
			continue
		}
		err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name := d.Name()
			if d.Type().IsRegular() && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")) {
				add(file)
			}
			return nil
		})
		if err != nil {
			return nil, fail(exitUsage, "name manifests, or directories with some", "reading %q: %w", path, reason(err))
		}
	}
	return files, nil
}
