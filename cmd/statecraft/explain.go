package main

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// explainVerb explains what a diagnostic means, with an example that has it and the same one mended.
type explainVerb struct {
	Code string `arg:"" help:"The code of a diagnostic, such as SC405."`
}

// explainResult is what explain --json prints.
type explainResult struct {
	Code        string `json:"code"`
	Title       string `json:"title"`
	Explanation string `json:"explanation"`
	Bad         string `json:"bad,omitempty"`  // a document with this finding
	Good        string `json:"good,omitempty"` // the same one mended
}

var codePattern = regexp.MustCompile(`^SC[0-9]{3}$`)

// Run prints the explanation.
func (v *explainVerb) Run(inv *invocation) error {
	code := strings.ToUpper(v.Code)
	e, ok := diag.Explain(diag.Code(code))
	if !ok {
		return unknownCode(code)
	}
	if inv.json {
		return inv.printJSON(explainResult{
			Code: string(e.Code), Title: e.Title, Explanation: e.Explanation, Bad: e.Bad, Good: e.Good,
		})
	}
	inv.printf("%s: %s\n\n%s\n", e.Code, e.Title, e.Explanation)
	inv.example("This is found:", e.Bad)
	inv.example("This is right:", e.Good)
	return nil
}

// example prints a document under a heading, indented.
func (inv *invocation) example(heading, document string) {
	if document == "" {
		return
	}
	inv.printf("\n%s\n\n", heading)
	for line := range strings.Lines(document) {
		inv.printf("    %s", line)
	}
}

func unknownCode(code string) error {
	var codes []string
	for _, e := range diag.Entries() {
		codes = append(codes, string(e.Code))
	}
	if !codePattern.MatchString(code) {
		return usage("a code is SC and three digits, such as "+codes[0]+"; check prints them", "%q is not a code", code)
	}
	hint := "statecraft docs writes a reference of all codes"
	if near := strict.Nearest(code, codes); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, hint)
	}
	return usage(hint, "there is no code %s", code)
}
