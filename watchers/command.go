package watchers

import (
	"errors"
	"fmt"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Command is a property that is a program and its arguments. It is split into words before values are filled in, so that a value is always one
// argument. Where a shell reads it nothing is filled in.
type Command struct {
	text   string
	at     diag.Position
	marked bool
	words  []word // nil until split
}

// UnmarshalNode implements strict.Unmarshaler.
func (c *Command) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	*c = Command{text: n.Value, at: n.Pos, marked: opts.Marked}
	return nil
}

// Describe implements strict.Described.
func (*Command) Describe() (word string, scalar bool) { return "text", true }

// String is the command as written.
func (c Command) String() string { return c.text }

// split splits the command. It is an error too where the command is a template and a word of it by itself is none: control
// structures have to begin and end within a word. A command of spaces has no words.
func (c *Command) split() (err error) {
	if c.words, err = splitWords(c.text, c.marked); err != nil || c.marked || machine.CheckTemplate(c.text) != nil {
		return err // a template that is none as a whole is told of by bind
	}
	for _, w := range c.words {
		if err := machine.CheckTemplate(w.text); err != nil {
			return fmt.Errorf("in the word %q %s", brief(w.text), templateMessage(err))
		}
	}
	return nil
}

func (c *Command) bind(b *binding, key, _ string) {
	if !c.marked {
		b.template(&Formula{text: c.text, at: c.at}, key)
		return
	}
	template := c.words != nil && marks.IsTemplate(c.text)
	for i := range c.words {
		f := c.words[i].fill.f
		f.value.Pos = c.at
		for _, e := range f.value.Expressions() {
			e.Pos = c.at
		}
		if !template || f.value.Kind != marks.Literal { // of a template a word by itself says nothing
			f.bind(b, key, "")
		}
	}
	if template {
		b.list.Add(diag.Error, marks.CodeTemplate, c.at, marks.TemplateHint, "%q: format 2 has no templates", brief(c.text))
	}
}

// ExpandWords fills in the words of a command. A command without a word is an error, and so is one of which a
// program would run what a value is, or take it for an option; input says that its standard input has a value, too.
func (l *Look) ExpandWords(c Command, input bool) ([]string, error) {
	if len(c.words) == 0 {
		return nil, errNoWords
	}
	words := make([]string, len(c.words))
	for i, w := range c.words {
		var err error
		if words[i], err = l.Expand(w.fill); err != nil {
			return nil, err
		}
	}
	if err := interpreted(c.words, words, input); err != nil {
		return nil, fmt.Errorf("%w; %s", err, interpretedHint(c.marked))
	}
	if err := option(c.words, words); err != nil {
		return nil, fmt.Errorf("%w; %s", err, optionHint(c.marked))
	}
	return words, nil
}

// valueForm is how hints write a value.
func valueForm(marked bool) string {
	if marked {
		return "${...}"
	}
	return "{{...}}"
}

// isMarkError reports whether a command could not be split because of a mark.
func isMarkError(err error) bool {
	return errors.Is(err, marks.ErrOpen) || errors.Is(err, marks.ErrString) || errors.Is(err, marks.ErrEmpty)
}
