package policy

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// The codes of what the policy watcher's properties can have wrong.
const (
	CodeRego   diag.Code = "SC395" // Rego that cannot be compiled
	CodeSource diag.Code = "SC396" // neither policy nor file, or both
	CodeQuery  diag.Code = "SC397" // a query that cannot be compiled, or that the policy has no rule for
	CodePath   diag.Code = "SC398" // a file outside of the machine's directory
)

// spec is the properties of a policy watcher.
type spec struct {
	// Policy is the Rego text, of version 1 or 0. Either policy or file is to be given.
	Policy string `yaml:"policy" language:"rego"`
	// File is a Rego file in the manifest's folder, read and compiled with the manifest: it is part of the machine, as its manifest is.
	File string `yaml:"file"`
	// Query is one Rego expression whose value is the decision.
	Query string `yaml:"query" default:"data.statecraft.allow" language:"rego"`
	// Input is an expression whose value the policy reads as input.
	Input *watchers.Formula `yaml:"input"`
	// Data is an expression whose value, a mapping, the policy reads below data. A rule of the policy goes before it.
	Data *watchers.Formula `yaml:"data"`

	program *program // nil for a file that is not at hand
}

// Validate compiles the policy.
func (s *spec) Validate(w *machine.WatcherSpec) diag.List {
	var list diag.List
	switch {
	case (s.Policy == "") == (s.File == ""):
		list.Add(diag.Error, CodeSource, w.Place("properties"), "write the Rego below policy, or the name of a file with it below file",
			"either policy or file is needed, not both")
	case s.File != "":
		s.checkFile(w, &list)
	default:
		s.compile(w, s.Policy, &list)
	}
	return list
}

func (s *spec) checkFile(w *machine.WatcherSpec, list *diag.List) {
	at := w.Properties.Get("file").Pos
	if filepath.IsAbs(s.File) || machine.EscapesDirectory(s.File) {
		list.Add(diag.Error, CodePath, at, "put it into the machine's directory, so that the machine's signature covers it",
			"file %q is outside of the machine's directory", s.File)
		return
	}
	switch read := w.Beside[s.File]; {
	case w.Beside == nil:
		if _, problems := parseQuery(s.Query); len(problems) > 0 {
			s.report(w, problems, list)
		}
	case errors.Is(read.Err, fs.ErrNotExist):
		list.Add(diag.Error, CodePath, at, "name a file of the manifest's folder, relative to it", "there is no file %q beside the manifest", s.File)
	case read.Err != nil:
		list.Add(diag.Error, CodePath, at, "give a regular file of at most 1 MiB that the program may read", "%v", read.Err)
	default:
		s.compile(w, string(read.Text), list)
	}
}

func (s *spec) compile(w *machine.WatcherSpec, text string, list *diag.List) {
	compiled, problems := compile(text, s.Query, s.Data != nil)
	s.report(w, problems, list)
	s.program = compiled
}

// report gives each problem its place: in the file, or where its row of the Rego text stands in the manifest.
func (s *spec) report(w *machine.WatcherSpec, problems []problem, list *diag.List) {
	for _, p := range problems {
		code, key, at := CodeRego, "policy", w.Place("properties")
		switch {
		case p.query:
			code, key = CodeQuery, "query"
			if n := w.Properties.Get(key); n != nil {
				at = n.Pos
			}
		case s.File != "":
			list.Add(diag.Error, code, s.inFile(w, p), p.hint, "%s", p.message)
			continue
		default:
			at = within(w.Properties.Get(key), p)
		}
		list.Add(diag.Error, code, at, p.hint, "%s: %s", key, p)
	}
}

// inFile is a place in the file with the Rego.
func (s *spec) inFile(w *machine.WatcherSpec, p problem) diag.Position {
	return diag.Position{File: filepath.Join(filepath.Dir(w.Pos.File), s.File), Line: max(1, p.row), Column: p.column}
}

// reads names the file of a watcher, which is read with the manifest.
func reads(w *machine.WatcherSpec) []string {
	if n := w.Properties.Get("file"); n != nil && n.Kind == strict.Scalar {
		return []string{n.Value}
	}
	return nil
}

// within is the place of a row of a text that is a property. A text of several rows begins below its key; how far
// its rows are indented is not known by then, so that their columns are not either.
func within(n *strict.Node, p problem) diag.Position {
	at := n.Pos
	switch {
	case p.row == 0:
	case p.rows == 1:
		at.Column += p.column - 1
	default:
		at.Line, at.Column = at.Line+p.row, 0
	}
	return at
}
