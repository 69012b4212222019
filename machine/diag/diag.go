// Package diag holds what is wrong with a document: where, how bad, and what to do next.
//
// Every reader of user input in the project (manifests, properties, scenario tests, traces)
// reports through this package, all problems at once. It never reads input itself.
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a finding means for loading: only an Error stops it.
type Severity uint8

// The severities, from the gravest.
const (
	Error Severity = iota
	Warning
	Note
)

// String returns "error", "warning" or "note".
func (s Severity) String() string {
	switch s {
	case Warning:
		return "warning"
	case Note:
		return "note"
	default:
		return "error"
	}
}

// MarshalText makes the severity a word in JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Position is a place in a document. Line and Column count from 1; 0 means the document as a whole.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String renders file:line:col, leaving out what is not known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Code is a stable identifier, "SC" and three digits, documented in docs/diagnostics.md.
type Code string

// Diagnostic is one finding.
type Diagnostic struct {
	Position
	Severity Severity `json:"severity"`
	Code     Code     `json:"code"`
	Message  string   `json:"message"`
	// Hint is the next step for the person who reads it; it may be empty.
	Hint string `json:"hint,omitempty"`
}

// String renders "file:line:col: SCnnn message"; warnings and notes name their severity before the message.
func (d Diagnostic) String() string {
	place := ""
	if at := d.Position.String(); at != "" {
		place = at + ": "
	}
	if d.Severity == Error {
		return fmt.Sprintf("%s%s %s", place, d.Code, d.Message)
	}
	return fmt.Sprintf("%s%s %s: %s", place, d.Code, d.Severity, d.Message)
}

// List is the findings of one or several documents. It is an error when it holds an Error.
type List []Diagnostic

// Add appends a finding.
func (l *List) Add(severity Severity, code Code, at Position, hint, format string, args ...any) {
	*l = append(*l, Diagnostic{Position: at, Severity: severity, Code: code, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// HasErrors reports whether any finding stops loading.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Err returns the list as an error when it holds one, else nil.
func (l List) Err() error {
	if l.HasErrors() {
		return l
	}
	return nil
}

// Error renders every finding on a line of its own, each hint on the line below.
func (l List) Error() string {
	var b strings.Builder
	for i, d := range l {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d.String())
		if d.Hint != "" {
			b.WriteString("\n  hint: " + d.Hint)
		}
	}
	return b.String()
}

// Sort orders in place by file, line, column and code, and drops findings that repeat another. Only the
// list returned is to be used afterwards.
func (l List) Sort() List {
	slices.SortStableFunc(l, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Hint, b.Hint))
	})
	return slices.Compact(l)
}
