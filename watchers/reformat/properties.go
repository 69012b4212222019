package reformat

import (
	"reflect"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// properties follows the properties' type and what is written side by side.
func (w *rewriting) properties(t reflect.Type, n *strict.Node) {
	if n == nil {
		return
	}
	switch t {
	case reflect.TypeFor[watchers.Formula]():
		w.expression(n, false)
		return
	case reflect.TypeFor[watchers.Text]():
		w.template(n)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		w.properties(t.Elem(), n)
	case reflect.Slice:
		for _, item := range n.Items {
			w.properties(t.Elem(), item)
		}
	case reflect.Map:
		for _, f := range n.Fields {
			w.properties(t.Elem(), f.Value)
		}
	case reflect.Struct:
		w.structured(t, n)
	}
}

func (w *rewriting) structured(t reflect.Type, n *strict.Node) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			w.properties(f.Type, n)
			continue
		case name == "" || n.Kind != strict.Mapping:
			continue
		}
		for _, key := range append([]string{name}, strings.Split(f.Tag.Get("alias"), ",")...) {
			value := n.Get(key)
			if value != nil && f.Type == reflect.TypeFor[watchers.Command]() {
				w.command(value, n.Get("shell"))
			} else if value != nil {
				w.properties(f.Type, value)
			}
		}
	}
}

// command translates the templates of a command that no shell reads.
func (w *rewriting) command(n, shell *strict.Node) {
	if shell != nil && shell.Any() != false {
		return
	}
	if !w.marked && strings.Contains(n.Value, `\${`) {
		w.problem(n, "write the command without the backslash", "command: a backslash stands in front of ${, which begins an expression in format 2")
		return
	}
	w.template(n)
}

// expression marks an expression. One that gives the same always becomes that, where empty ones can stand or it is not empty.
func (w *rewriting) expression(n *strict.Node, empty bool) {
	if n == nil || n.Kind != strict.Scalar && n.Kind != strict.Null {
		if n != nil && w.marked {
			w.templates(n)
		}
		return
	}
	if w.marked {
		w.template(n)
		return
	}
	if v, constant := literal(strings.TrimSpace(n.Value)); constant && (empty || v != nil && v != "") && w.plain(n, v) {
		return
	}
	w.wrap(n)
}

// templates translates what was forgotten in a value of format 2.
func (w *rewriting) templates(n *strict.Node) {
	for _, item := range n.Items {
		w.templates(item)
	}
	for _, f := range n.Fields {
		w.templates(f.Value)
	}
	if n.Kind == strict.Scalar {
		w.template(n)
	}
}

// literal reads an expression that is one literal, which does not look like an expression or a template.
func literal(text string) (any, bool) {
	tree, err := parser.Parse(text)
	if err != nil || marks.Commented(text) || strings.Contains(text, "/*") {
		return nil, false
	}
	switch n := tree.Node.(type) {
	case *ast.StringNode:
		return marks.Quote(n.Value), !marks.Resembles(n.Value) && !strings.Contains(n.Value, "{{") && !strings.ContainsAny(n.Value, "\r\n")
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.FloatNode:
		return n.Value, float64(int64(n.Value)) != n.Value // 1.0 would be an integer
	case *ast.BoolNode:
		return n.Value, true
	case *ast.NilNode:
		return nil, true
	case *ast.UnaryNode:
		if of, is := n.Node.(*ast.IntegerNode); is && n.Operator == "-" {
			return -of.Value, true
		}
	}
	return nil, false
}
