package watchers

import (
	"errors"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// Text is a property that is a text into which values are filled, see marks.Render. The zero Text is not written, and empty.
type Text struct{ f *Formula }

// PlainText is a text without values.
func PlainText(text string) Text {
	return Text{&Formula{text: text, value: &marks.Value{Literal: text}}}
}

// UnmarshalNode implements strict.Unmarshaler.
func (t *Text) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	t.f = &Formula{text: n.Value, at: n.Pos}
	if !opts.Marked {
		t.f.readTemplate()
		return nil
	}
	if !marks.Has(n.Value) { // whatever YAML takes it for, it is a text here
		n = &strict.Node{Kind: strict.Scalar, Pos: n.Pos, Value: n.Value, Quoted: true}
	}
	var list diag.List
	t.f.value, list = marks.Read(n)
	return list
}

// readTemplate reads the text of an older manifest. What cannot be read stays without a template, which Define tells.
func (f *Formula) readTemplate() {
	if !isTemplate(f.text) {
		f.value = &marks.Value{Literal: f.text}
		return
	}
	if t, err := machine.ParseTemplate(f.text); err == nil {
		f.template = t
	}
}

// Describe implements strict.Described.
func (*Text) Describe() (word string, scalar bool) { return "text", true }

// String is the text as written.
func (t Text) String() string { return t.f.String() }

// Empty reports whether the property is not written.
func (t Text) Empty() bool { return t.String() == "" }

// Literal returns the text where no value is filled into it, so that it is known before any look.
func (t Text) Literal() (string, bool) {
	if t.f == nil {
		return "", true
	}
	if t.f.value == nil || t.f.value.Kind != marks.Literal {
		return "", false
	}
	text, _ := t.f.value.Literal.(string)
	return text, true
}

// Fails reports whether the text is known and no look could do with it.
func (t Text) Fails(fits func(string) bool) bool {
	text, known := t.Literal()
	return known && !fits(text)
}

// Before is the literal text in front of the first value.
func (t Text) Before() string {
	if text, known := t.Literal(); known {
		return text
	}
	if t.f.value == nil {
		return beforeTemplate(t.f.text)
	}
	if first := t.f.value; first.Kind == marks.Text && first.Parts[0].Kind == marks.Literal {
		return marks.Render(first.Parts[0].Literal)
	}
	return ""
}

// Expand fills the values of a look into a text. Errors say which text and why.
func (l *Look) Expand(t Text) (string, error) {
	out, err := t.f.fill(l, nil)
	if err != nil {
		return "", wrapText(t.String(), err)
	}
	return out, nil
}

// Condition is a property that is an expression and true or false. It has no mark: nothing else could stand there. A nil Condition holds.
type Condition struct{ Formula }

// UnmarshalNode implements strict.Unmarshaler.
func (c *Condition) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	var list diag.List
	if bare, marked := marks.Whole(n.Value); marked && opts.Marked {
		list.Add(diag.Error, marks.CodeNoMark, n.Pos, "write it without the mark: "+brief(bare), "a condition is an expression and has no mark")
	}
	c.text, c.value = n.Value, marks.Bare(n.Value, n.Pos)
	return list
}

// Describe implements strict.Described.
func (*Condition) Describe() (word string, scalar bool) { return "condition", true }

// Holds evaluates a condition.
func (c *Condition) Holds(look *Look, message any) (bool, error) {
	if c == nil {
		return true, nil
	}
	v, err := c.Value(look, message)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, errors.New(c.what() + " is not true or false")
	}
	return b, nil
}

// CompileText compiles a text with marks.
func CompileText(text string) (Text, error) {
	v, list := marks.Read(&strict.Node{Kind: strict.Scalar, Value: text, Quoted: true})
	if list.HasErrors() {
		return Text{}, list.Err()
	}
	f := &Formula{text: text, value: v}
	return Text{f}, f.compile(scope{marked: true}, func(_ *marks.Value, err error) error { return err })
}
