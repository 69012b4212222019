package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/statecraft-io/statecraft/watchers/all"
)

// docsVerb writes the references that are made from the program itself.
type docsVerb struct {
	Output string `placeholder:"DIR" default:"docs" help:"Write into this directory, which is made if it is not there."`
}

// docsResult is what docs --json prints.
type docsResult struct {
	Files []string `json:"files"`
}

// document is one generated file.
type document struct {
	path  string // below the output directory
	write func(w io.Writer) error
}

// documents are all generated files.
func documents() []document {
	return []document{
		{"cli-reference.md", writeCLIReference},
		{"diagnostics.md", writeDiagnostics},
		{"watchers.md", writeWatchers},
		{filepath.Join("schema", "manifest.json"), writeManifestSchema},
	}
}

// Run writes the files and prints their names.
func (v *docsVerb) Run(inv *invocation) error {
	r := docsResult{}
	for _, d := range documents() {
		file := filepath.Join(v.Output, d.path)
		if err := d.writeTo(file); err != nil {
			return fail(exitFailed, "name a directory that can be written with --output", "writing %q: %w", file, reason(err))
		}
		r.Files = append(r.Files, file)
	}
	if inv.json {
		return inv.printJSON(r)
	}
	for _, file := range r.Files {
		inv.printf("%s\n", file)
	}
	return nil
}

func (d document) writeTo(file string) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
	}()
	w := &results{w: f}
	if err := d.write(w); err != nil {
		return err
	}
	return w.err
}

// generated begins every document that is not to be edited.
func generated(w io.Writer, title string) {
	fmt.Fprintf(w, "<!-- Written by statecraft docs; edit the program instead. -->\n\n# %s\n", title)
}

// writeWatchers writes the reference of every watcher type.
func writeWatchers(w io.Writer) error {
	text, err := all.Markdown()
	if err != nil {
		return fmt.Errorf("reading the reference: %w", err)
	}
	generated(w, "Watchers")
	fmt.Fprintf(w, "\n%s", text)
	return nil
}
