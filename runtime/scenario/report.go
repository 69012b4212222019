package scenario

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// Report is what the tests of one file came to. Its JSON only ever gains fields.
type Report struct {
	File     string   `json:"file"`
	Machine  string   `json:"machine"`
	Version  string   `json:"version"`
	Tests    []Result `json:"tests"`
	Coverage Coverage `json:"coverage"`
}

// Passed reports whether no test failed.
func (r *Report) Passed() bool { return r.Failed() == 0 }

// Failed counts the tests that failed.
func (r *Report) Failed() int {
	n := 0
	for i := range r.Tests {
		if !r.Tests[i].Passed {
			n++
		}
	}
	return n
}

// Result is what one test came to. A test ends at its first step that fails.
type Result struct {
	Name   string `json:"name"`
	Line   int    `json:"line"` // of the name
	Passed bool   `json:"passed"`
	// Failures are the expectations of that step that were not met.
	Failures []Failure `json:"failures,omitempty"`
	// Transcript are the records of the test, as machine.Transcript renders them; with several machines
	// each is preceded by its machine.
	Transcript []string `json:"transcript"`
}

// Failure is one expectation that was not met, at the place of its step.
type Failure struct {
	diag.Position
	What   string `json:"what"` // what was looked at, or what could not be done
	Wanted string `json:"wanted,omitempty"`
	Got    string `json:"got,omitempty"`
}

// String renders file:line:col, what was looked at, and below it what was wanted and what was got.
func (f Failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", f.Position, f.What)
	if f.Wanted != "" {
		fmt.Fprintf(&b, "\n  wanted: %s", f.Wanted)
	}
	if f.Got != "" {
		fmt.Fprintf(&b, "\n  got:    %s", f.Got)
	}
	return b.String()
}

// show renders a value for a message.
func show(v any) string {
	encoded, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(encoded)
}
