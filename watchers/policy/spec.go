package policy

import (
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
	Policy string `yaml:"policy"`
	// File is a Rego file below the machine's directory, read at each look and compiled when it has changed.
	File string `yaml:"file"`
	// Query is one Rego expression whose value is the decision.
	Query string `yaml:"query" default:"data.statecraft.allow"`
	// Input is an expression whose value the policy reads as input.
	Input *watchers.Formula `yaml:"input"`
	// Data is an expression whose value, a mapping, the policy reads below data. A rule of the policy goes before it.
	Data *watchers.Formula `yaml:"data"`

	program *program // of Policy; nil for a file
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
		s.compile(w, &list)
	}
	return list
}

func (s *spec) checkFile(w *machine.WatcherSpec, list *diag.List) {
	if filepath.IsAbs(s.File) || machine.EscapesDirectory(s.File) {
		list.Add(diag.Error, CodePath, w.Properties.Get("file").Pos, "put it into the machine's directory, so that the machine's signature covers it",
			"file %q is outside of the machine's directory", s.File)
	}
	if _, problems := parseQuery(s.Query); len(problems) > 0 {
		s.report(w, problems, list)
	}
}

func (s *spec) compile(w *machine.WatcherSpec, list *diag.List) {
	compiled, problems := compile(s.Policy, s.Query, s.Data != nil)
	s.report(w, problems, list)
	s.program = compiled
}

// report gives each problem the place in the manifest that its row in the Rego text stands for.
func (s *spec) report(w *machine.WatcherSpec, problems []problem, list *diag.List) {
	for _, p := range problems {
		code, key := CodeRego, "policy"
		if p.query {
			code, key = CodeQuery, "query"
		}
		at := w.Place("properties")
		if n := w.Properties.Get(key); n != nil {
			at = n.Pos
			if key == "policy" {
				at = within(n, p)
			}
		}
		list.Add(diag.Error, code, at, p.hint, "%s: %s", key, p)
	}
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
