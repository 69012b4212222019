package marks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// The codes of what can be wrong with marks.
const (
	CodeMark     diag.Code = "SC306" // a mark that cannot be read
	CodeNoMark   diag.Code = "SC307" // a mark where none is read
	CodeTemplate diag.Code = "SC308" // a template where marks are read
	CodeUnmarked diag.Code = "SC309" // a literal that looks like an expression
)

// Kind is what a Value is.
type Kind uint8

// The kinds of value. A list or mapping without a mark in it is a Literal.
const (
	Literal    Kind = iota
	Expression      // one mark and nothing else, which keeps the type of what its expression gives
	Text            // a text with marks, which are filled in
	List
	Mapping
)

// Value is a value of a manifest with its marks read. It is immutable.
type Value struct {
	Kind    Kind
	Pos     diag.Position
	Literal any      // of a Literal: a JSON value
	Expr    string   // of an Expression
	Index   int      // of an Expression: its place among all expressions of the value that was read, from 0
	Parts   []*Value // of a Text (literals and expressions), List or Mapping
	Keys    []string // of a Mapping, by place in Parts
}

// Read reads the marks of a value, all faults at once. A value with faults in it is still complete, without what has the fault.
func Read(n *strict.Node) (*Value, diag.List) {
	r := &reader{}
	return r.value(n), r.list
}

// Bare is the value of an expression that is written without a mark, as older manifests have them.
func Bare(expression string, at diag.Position) *Value {
	return &Value{Kind: Expression, Expr: expression, Pos: at}
}

// OfPieces is the value of a text that has been split.
func OfPieces(pieces []Piece, at diag.Position) *Value {
	r := &reader{}
	return r.pieces(pieces, at)
}

type reader struct {
	list  diag.List
	count int // expressions so far
}

func (r *reader) value(n *strict.Node) *Value {
	if n == nil {
		return &Value{}
	}
	v := &Value{Pos: n.Pos}
	switch n.Kind {
	case strict.Scalar:
		return r.scalar(n)
	case strict.Sequence:
		v.Kind = List
		for _, item := range n.Items {
			v.Parts = append(v.Parts, r.value(item))
		}
	case strict.Mapping:
		v.Kind = Mapping
		for _, f := range n.Fields {
			CheckKey(f, &r.list)
			v.Keys = append(v.Keys, f.Key)
			v.Parts = append(v.Parts, r.value(f.Value))
		}
	}
	if v.literal() {
		plain, _ := v.Evaluate(nil) // which asks for no expression
		return &Value{Pos: n.Pos, Literal: plain}
	}
	return v
}

// literal reports whether a list or mapping has no mark.
func (v *Value) literal() bool {
	return !slices.ContainsFunc(v.Parts, func(part *Value) bool { return part.Kind != Literal })
}

func (r *reader) scalar(n *strict.Node) *Value {
	if !strings.Contains(n.Value, begin) {
		r.template(n)
		return &Value{Pos: n.Pos, Literal: n.Any()}
	}
	pieces, err := Split(n.Value)
	if err != nil {
		r.list.Add(diag.Error, CodeMark, n.Pos, Mend(err), "%q: %v", diag.Brief(n.Value, 60), err)
		return &Value{Pos: n.Pos, Literal: n.Value}
	}
	r.template(n)
	return r.pieces(pieces, n.Pos)
}

// template refuses what was a template in format 1.
func (r *reader) template(n *strict.Node) {
	if IsTemplate(n.Value) {
		r.list.Add(diag.Error, CodeTemplate, n.Pos, TemplateHint, "%q: format 2 has no templates", diag.Brief(n.Value, 60))
	}
}

// TemplateHint says what to do about a template in a manifest of format 2.
const TemplateHint = `write ${ data.name }, as statecraft fmt --write does; for two braces as they are write ${"{{"}`

// IsTemplate reports whether a text would be a template in older manifests. Braces within marks belong to expressions.
func IsTemplate(text string) bool {
	pieces, err := Split(text)
	if err != nil {
		return false
	}
	for _, p := range pieces {
		if at := strings.Index(p.Text, "{{"); !p.Mark && at >= 0 && strings.Contains(p.Text[at:], "}}") {
			return true
		}
	}
	return false
}

// CheckKey refuses a key with a mark.
func CheckKey(f strict.Field, list *diag.List) {
	if strings.Contains(f.Key, begin) {
		list.Add(diag.Error, CodeNoMark, f.Pos, "write the key itself; a mapping whose keys are only known later is one expression: ${ {(data.name): 1} }",
			"the key %q: marks are filled into values, not into keys", diag.Brief(f.Key, 60))
	}
}

func (r *reader) pieces(pieces []Piece, at diag.Position) *Value {
	v := &Value{Kind: Text, Pos: at}
	for _, p := range pieces {
		part := &Value{Pos: at, Literal: p.Text}
		if p.Mark {
			part = &Value{Kind: Expression, Pos: at, Expr: p.Text, Index: r.count}
			r.count++
		}
		v.Parts = append(v.Parts, part)
	}
	switch len(v.Parts) {
	case 0:
		return &Value{Pos: at, Literal: ""}
	case 1:
		return v.Parts[0]
	default:
		return v
	}
}

// Expressions returns every expression of a value, by its Index.
func (v *Value) Expressions() []*Value {
	if v.Kind == Expression {
		return []*Value{v}
	}
	var all []*Value
	for _, part := range v.Parts {
		all = append(all, part.Expressions()...)
	}
	return all
}

// Literals calls f with every literal text that is a value by itself; what stands around marks in a text is none.
func (v *Value) Literals(f func(text string, at diag.Position)) {
	switch v.Kind {
	case Literal:
		literals(v.Literal, func(text string) { f(text, v.Pos) })
	case List, Mapping:
		for _, part := range v.Parts {
			part.Literals(f)
		}
	}
}

func literals(v any, f func(text string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, item := range v {
			literals(item, f)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			literals(v[key], f)
		}
	}
}

// Same reports whether two values are written alike, wherever they stand.
func (v *Value) Same(other *Value) bool { return v.String() == other.String() }

// String renders a value as Go would, for comparisons and messages.
func (v *Value) String() string {
	switch v.Kind {
	case Expression:
		return begin + " " + v.Expr + " }"
	case Literal:
		return fmt.Sprintf("%#v", v.Literal)
	default:
		return fmt.Sprintf("%v %q %v", v.Kind, v.Keys, v.Parts)
	}
}

// Evaluate returns what a value comes to. at returns what the expression of an index gives, and is asked in the order of indices.
func (v *Value) Evaluate(at func(index int) (any, error)) (any, error) {
	switch v.Kind {
	case Expression:
		return at(v.Index)
	case Text:
		return v.Fill(at)
	case List:
		list := make([]any, len(v.Parts))
		for i, part := range v.Parts {
			var err error
			if list[i], err = part.Evaluate(at); err != nil {
				return nil, err
			}
		}
		return list, nil
	case Mapping:
		mapping := make(map[string]any, len(v.Parts))
		for i, part := range v.Parts {
			value, err := part.Evaluate(at)
			if err != nil {
				return nil, err
			}
			mapping[v.Keys[i]] = value
		}
		return mapping, nil
	default:
		return v.Literal, nil
	}
}

// Fill returns what a value comes to as a text: see Render.
func (v *Value) Fill(at func(index int) (any, error)) (string, error) {
	if v.Kind != Text {
		value, err := v.Evaluate(at)
		if err != nil {
			return "", err
		}
		return Render(value), nil
	}
	var b strings.Builder
	for _, part := range v.Parts {
		text, err := part.Fill(at)
		if err != nil {
			return "", err
		}
		if b.Len()+len(text) > maxText {
			return "", errText
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// Render renders a value as it stands in a text: a text as it is, nothing for null, true and false, numbers as Go prints them (3, 1.5, 1e+21), a
// time in RFC 3339, lists and mappings in Go's notation ([a b], map[a:1]), as the templates of older manifests do.
func Render(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return ""
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	default:
		return fmt.Sprint(v)
	}
}
