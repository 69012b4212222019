package main

import (
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
)

// checkVerb checks manifests, each by itself and all of them as a set that runs together.
type checkVerb struct {
	Strict bool     `help:"Count warnings as errors."`
	On     string   `enum:",host,node,overlay" default:"" help:"Say what cannot work where the machines are to run: host (statecraft run), node or overlay."`
	Paths  []string `arg:"" name:"path" help:"Manifests, or directories that hold a machine.yaml or folders with one. All of them are checked as a set that runs together."`
}

// Run prints the findings and fails when one of them would keep a machine from running.
func (v *checkVerb) Run(inv *invocation) error {
	files, err := manifestFiles(v.Paths)
	if err != nil {
		return err
	}
	t, err := loadTogether(files, nil)
	if err != nil {
		return err
	}
	findings := findingsOn(t, machine.Place(v.On))
	if err := inv.printFindings(findings); err != nil {
		return err
	}
	for _, d := range t.Ready {
		if m := d.Definition.Manifest; m.Format == 1 {
			inv.notef("%s is of format 1; statecraft fmt --write %s makes it format 2", m.File, m.File)
		}
	}
	if summary := summarise(len(files), findings); findings.HasErrors() || v.Strict && count(findings, diag.Warning) > 0 {
		return fail(exitInvalid, "statecraft explain CODE says more about a finding", "%s", summary)
	} else {
		inv.notef("%s", summary)
	}
	return nil
}

// checkFiles holds every file against the rules, all of them against each other, as a host does that is to run them, and each against what
// there is at a place, where one is given.
func checkFiles(files []string, on machine.Place) (diag.List, error) {
	t, err := loadTogether(files, nil)
	if err != nil {
		return nil, err
	}
	return findingsOn(t, on), nil
}

func findingsOn(t runtime.Together, on machine.Place) diag.List {
	findings := append(diag.List{}, t.Findings...)
	for _, d := range t.Ready {
		findings = append(findings, machine.CheckOn(d.Definition, on, catalogue())...)
	}
	return findings.Sort()
}

// printFindings prints findings as the result, hints on lines of their own.
func (inv *invocation) printFindings(findings diag.List) error {
	if inv.json {
		return inv.printJSON(findings)
	}
	inks := map[diag.Severity]ink{diag.Error: red, diag.Warning: yellow, diag.Note: cyan}
	for _, d := range findings {
		place := d.Position.String()
		before, rest, _ := strings.Cut(strings.TrimPrefix(d.String(), place), string(d.Code))
		inv.printf("%s%s%s%s\n", place, before, inv.paint(inks[d.Severity], string(d.Code)), rest)
		if d.Hint != "" {
			inv.printf("  hint: %s\n", d.Hint)
		}
	}
	return nil
}

// summarise counts the findings in one line.
func summarise(machines int, findings diag.List) string {
	if len(findings) == 0 {
		return counted(machines, "machine") + " checked, nothing found"
	}
	var found []string
	for _, s := range []diag.Severity{diag.Error, diag.Warning, diag.Note} {
		if n := count(findings, s); n > 0 {
			found = append(found, counted(n, s.String()))
		}
	}
	return fmt.Sprintf("%s checked, %s", counted(machines, "machine"), strings.Join(found, ", "))
}

func count(findings diag.List, s diag.Severity) int {
	n := 0
	for _, d := range findings {
		if d.Severity == s {
			n++
		}
	}
	return n
}

// counted writes a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
