// Package reformat makes manifests of format 2 of those of format 1: it puts marks around expressions, takes the quotes off literals and translates
// templates. It edits the text where a value stands, so that comments, order and layout stay, and never writes what does not read as it is to read.
// It reads and writes no files.
package reformat

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// Problem is what cannot be rewritten, and has to be mended by hand.
type Problem struct {
	diag.Position
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String is one line with the place.
func (p Problem) String() string { return p.Position.String() + ": " + p.Message }

// Catalogue has the types of watchers with their properties.
type Catalogue interface {
	machine.Catalogue
	Types() []watchers.Type
}

// Manifest returns the canonical text of a manifest: format 2 of what is format 1, without blanks at the ends of lines, and with one newline at the
// end. A manifest without a format is returned as it is, as is what is no manifest. Where there is a problem nothing is returned.
func Manifest(file string, src []byte, types Catalogue) ([]byte, []Problem) {
	root, list := strict.Parse(file, src)
	switch {
	case list.HasErrors() && !hasFormat.Match(src):
		return src, nil
	case list.HasErrors():
		return nil, problemsOf(list)
	}
	format := root.Get("format")
	if format == nil || format.Kind != strict.Scalar || format.Value != "1" && format.Value != "2" {
		return src, nil
	}
	if _, list := machine.Load(file, src, types); format.Value == "1" && list.HasErrors() {
		return nil, problemsOf(list)
	}
	w := &rewriting{file: file, types: types, text: newText(src, root), marked: format.Value == "2", expected: map[*strict.Node]any{}}
	w.manifest(root)
	if len(w.problems) > 0 {
		return nil, w.problems
	}
	return w.finish(root, src)
}

var hasFormat = regexp.MustCompile(`(?m)^["']?format["']?[ \t]*:`)

func problemsOf(list diag.List) (all []Problem) {
	for _, d := range list {
		if d.Severity == diag.Error {
			all = append(all, Problem{Position: d.Position, Message: string(d.Code) + " " + d.Message, Hint: d.Hint})
		}
	}
	return all
}

// rewriting is one call of Manifest.
type rewriting struct {
	file     string
	types    Catalogue
	text     *text
	marked   bool // it is format 2 already: only templates are translated
	edits    []edit
	expected map[*strict.Node]any // what scalars that are edited have to come to
	problems []Problem
}

// finish edits the text, and holds what it has become against what it is to be.
func (w *rewriting) finish(root *strict.Node, src []byte) ([]byte, []Problem) {
	out := tidy(rows(w.text.apply(w.edits), w.blocks()), w.file)
	if bytes.Equal(out, src) {
		return src, nil
	}
	again, list := strict.Parse(w.file, out)
	if list.HasErrors() {
		return nil, problemsOf(list)
	}
	if at, same := w.same(root, again); !same {
		return nil, []Problem{{at, "the value cannot be rewritten in its place", "write the value on one line, or as format 2 by hand"}}
	}
	if _, list := machine.Load(w.file, out, w.types); list.HasErrors() {
		return nil, problemsOf(list)
	}
	return out, nil
}

// same reports whether a document is the other one with its edits, and else where it is not.
func (w *rewriting) same(was, is *strict.Node) (diag.Position, bool) {
	if want, edited := w.expected[was]; edited {
		return was.Pos, reflect.DeepEqual(want, is.Any())
	}
	if was.Kind != is.Kind || was.Value != is.Value || was.Quoted != is.Quoted || len(was.Items) != len(is.Items) || len(was.Fields) != len(is.Fields) {
		return was.Pos, false
	}
	for i := range was.Items {
		if at, same := w.same(was.Items[i], is.Items[i]); !same {
			return at, false
		}
	}
	for i, f := range was.Fields {
		if f.Key != is.Fields[i].Key {
			return f.Pos, false
		}
		if at, same := w.same(f.Value, is.Fields[i].Value); !same {
			return at, false
		}
	}
	return was.Pos, true
}

// blocks are the rows that are not broken, since they are what they were before or stand in a block.
func (w *rewriting) blocks() string {
	all := w.text.src
	for _, e := range w.edits {
		if strings.Contains(e.text, "\n") {
			all += "\n" + e.text
		}
	}
	return all
}

func (w *rewriting) problem(n *strict.Node, hint, format string, args ...any) {
	w.problems = append(w.problems, Problem{Position: n.Pos, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (w *rewriting) manifest(root *strict.Node) {
	if !w.marked {
		w.to(root.Get("format"), 2)
		w.defaults(root.Get("data"))
	}
	for _, t := range items(root.Get("transitions")) {
		for _, f := range fields(t.Get("set")) {
			w.expression(f.Value, true)
		}
	}
	for _, n := range items(root.Get("watchers")) {
		if kind := n.Get("type"); kind != nil {
			w.properties(w.typeOf(kind.Value), n.Get("properties"))
		}
	}
}

// typeOf returns the type of the properties of a type of watchers, that of nothing where it is not known.
func (w *rewriting) typeOf(name string) reflect.Type {
	for _, t := range w.types.Types() {
		if (t.Name == name || slices.Contains(t.Aliases, name)) && t.Spec != nil {
			return reflect.TypeOf(t.Spec)
		}
	}
	return reflect.TypeFor[struct{}]()
}

// defaults escapes what would be marks in the defaults of data.
func (w *rewriting) defaults(n *strict.Node) {
	for _, f := range fields(n) {
		w.literals(f.Value.Get("default"))
	}
}

func (w *rewriting) literals(n *strict.Node) {
	if n == nil {
		return
	}
	for _, item := range n.Items {
		w.literals(item)
	}
	for _, f := range n.Fields {
		w.literals(f.Value)
	}
	if n.Kind == strict.Scalar && strings.Contains(n.Value, "${") {
		w.to(n, marks.Quote(n.Value))
	}
}

func items(n *strict.Node) []*strict.Node {
	if n == nil {
		return nil
	}
	return n.Items
}

func fields(n *strict.Node) []strict.Field {
	if n == nil {
		return nil
	}
	return n.Fields
}

// to has a scalar come to a value.
func (w *rewriting) to(n *strict.Node, v any) {
	if w.replace(n, v) {
		w.expected[n] = v
	}
}
