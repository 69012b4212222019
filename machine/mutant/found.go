package mutant

import (
	"regexp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Checked is a manifest with what check finds in it as it is. It is read-only.
type Checked struct {
	text  machine.Text
	types machine.Catalogue
	known map[finding]int
}

// finding is what check says, wherever.
type finding struct {
	code     diag.Code
	severity diag.Severity
	message  string
}

// linePattern is where a message says a place, which another defect moves.
var linePattern = regexp.MustCompile(`\bline [0-9]+`)

// Check checks a manifest as it is.
func Check(text machine.Text, types machine.Catalogue) *Checked {
	c := &Checked{text: text, types: types, known: map[finding]int{}}
	if root, _ := strict.Parse(text.File, text.Source); root != nil {
		e := encoder{}
		e.value(root)
		text.Source = e.out // the places in messages are those that the mutants have
	}
	_, list := machine.LoadText(text, types)
	for i := range list {
		c.known[plain(&list[i])]++
	}
	return c
}

func plain(d *diag.Diagnostic) finding {
	return finding{code: d.Code, severity: d.Severity, message: linePattern.ReplaceAllString(d.Message, "line")}
}

// Found returns what check finds in a mutant besides what it finds in the manifest as it is, and the mutant's text.
func (c *Checked) Found(m *Mutant) (diag.List, machine.Text) {
	text := c.text
	text.Source = m.Source()
	_, list := machine.LoadText(text, c.types)
	seen := map[finding]int{}
	var found diag.List
	for i := range list {
		f := plain(&list[i])
		if seen[f]++; seen[f] > c.known[f] {
			found = append(found, list[i])
		}
	}
	return found, text
}
