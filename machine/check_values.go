package machine

import (
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/statecraft-io/statecraft/machine/marks"
)

// reachableValues returns what the keys of data can hold that the machine itself sets, and no watcher. Of keys that it never sets nothing but their
// type is known: they are there for operators and for whoever starts an instance. A machine that replaces an earlier version goes on with what that
// one left, of which nothing is known.
func (d *Definition) reachableValues(cat Catalogue) map[string]values {
	if !d.closedData() || d.Manifest.Upgrade != nil {
		return nil
	}
	known := d.declaredValues()
	set := map[string]bool{}
	for i := range d.rules {
		for _, a := range d.rules[i].set {
			if !set[a.key] {
				set[a.key], known[a.key] = true, d.initialValues(a.key)
			}
			known[a.key] = known[a.key].after(a)
		}
	}
	for i := range d.Manifest.Watchers {
		w := &d.Manifest.Watchers[i]
		t, found := findType(w, cat)
		if !found {
			return nil
		}
		if t.Sets == nil {
			continue
		}
		for _, key := range t.Sets(w) {
			if key == AnyKey {
				return nil
			}
			delete(known, key)
		}
	}
	return known
}

// declaredValues returns what keys can hold that are declared with a type and a default, so that they are never null unless something sets them to it.
func (d *Definition) declaredValues() map[string]values {
	known := map[string]values{}
	for key, initial := range d.defaults {
		switch t := d.types[key]; {
		case initial == nil:
		case t == Boolean:
			known[key] = values{low: 1, high: 0, others: []any{true, false}}
		case t == Integer, t == Number:
			known[key] = values{low: math.Inf(-1), high: math.Inf(1), whole: t == Integer}
		}
	}
	return known
}

func (d *Definition) initialValues(key string) values {
	v := values{low: 1, high: 0, whole: d.types[key] == Integer}
	switch initial := d.defaults[key].(type) {
	case nil:
		return v.with(nil)
	case string, bool, int, float64:
		return v.with(initial)
	default:
		return anyValues()
	}
}

// after is what a key can hold besides, once an assignment to it has been made.
func (v values) after(a assignment) values {
	switch a.value.Kind {
	case marks.Literal:
		return v.with(a.value.Literal)
	case marks.Expression:
		if e := a.exprs[0]; e.err == nil && e.program != nil {
			return v.gets(a.key, e.program.Node())
		}
	}
	return anyValues()
}

func (v values) gets(key string, node ast.Node) values {
	if literal, ok := literalOf(node); ok {
		return v.with(literal)
	}
	switch n := node.(type) {
	case *ast.ConditionalNode:
		return v.gets(key, n.Exp1).gets(key, n.Exp2)
	case *ast.MemberNode:
		if dataKey(n) == key {
			return v
		}
	}
	if by, ok := stepOf(sumOf(node), key); ok && v.numbers() {
		if by > 0 {
			v.high = math.Inf(1)
		}
		if by < 0 {
			v.low = math.Inf(-1)
		}
		v.whole = v.whole && by == math.Trunc(by)
		return v
	}
	return anyValues()
}

// sumOf is the sum or difference that was written where compilation has put a call, which counts what it costs or minds its bounds. It is nil
// for anything else.
func sumOf(node ast.Node) *ast.BinaryNode {
	call, ok := node.(*ast.CallNode)
	if !ok {
		sum, _ := node.(*ast.BinaryNode)
		return sum
	}
	name, ok := call.Callee.(*ast.IdentifierNode)
	switch {
	case ok && name.Value == chargeName && len(call.Arguments) == 2:
		return sumOf(call.Arguments[1])
	case ok && name.Value == wholeName && len(call.Arguments) == 3:
		operator, _ := call.Arguments[0].(*ast.StringNode)
		return &ast.BinaryNode{Operator: operator.Value, Left: call.Arguments[1], Right: call.Arguments[2]}
	}
	return nil
}

// stepOf is by how much a sum or difference changes its key.
func stepOf(n *ast.BinaryNode, key string) (float64, bool) {
	if n == nil {
		return 0, false
	}
	left, right := n.Left, n.Right
	if n.Operator == "+" && dataKey(right) == key {
		left, right = right, left
	}
	literal, ok := literalOf(right)
	by, isNumber := number(literal)
	if !slices.Contains([]string{"+", "-"}, n.Operator) || dataKey(left) != key || !ok || !isNumber {
		return 0, false
	}
	if n.Operator == "-" {
		by = -by
	}
	return by, true
}
