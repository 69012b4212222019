package machine

import (
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// mayMiss reports whether a guard may come to anything but what is wanted, and narrows what the keys can hold to where it does. A guard that
// cannot be evaluated, as it compares with a number what is none, comes to neither true nor false: it does not hold, and its opposite does not
// either.
func mayMiss(node ast.Node, want bool, known map[string]values) bool {
	switch n := node.(type) {
	case *ast.BoolNode:
		return n.Value != want
	case *ast.ConstantNode:
		return n.Value != want
	case *ast.MemberNode:
		return misses(n, "==", want, known)
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return mayMiss(n.Node, !want, known)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and", "||", "or":
			return mayMissEither(n, want, known)
		}
		operator := n.Operator
		if !want {
			operator = opposites[operator]
		}
		return mayMissComparison(n, operator, known)
	}
	return true
}

// mayMissEither is mayMiss for two guards in one.
func mayMissEither(n *ast.BinaryNode, want bool, known map[string]values) bool {
	both := n.Operator == "&&" || n.Operator == "and"
	if both == want {
		return mayMiss(n.Left, want, copyOf(known)) || mayMiss(n.Right, want, copyOf(known))
	}
	unanswered := mayFault(n.Left, known) // what is on the right is not asked then
	return mayMiss(n.Left, want, known) && (unanswered || mayMiss(n.Right, want, known))
}

func mayMissComparison(n *ast.BinaryNode, operator string, known map[string]values) bool {
	return sided(n, operator,
		func(left, right any) bool { return values{low: 1, high: 0}.with(left).without(operator, right).some() },
		func(node ast.Node, operator string, literal any) bool { return misses(node, operator, literal, known) })
}

// misses reports whether a key may not compare so with a literal; what is no key, or is not always there to be read, may not.
func misses(node ast.Node, operator string, literal any, known map[string]values) bool {
	if !readable(node) {
		return true
	}
	key := pathOf(node)
	v := valuesOf(key, known).without(operator, literal)
	known[key] = v
	return v.some()
}

// without leaves the values that a comparison with a literal does not hold for, because it is false or because they cannot be compared with it.
func (v values) without(operator string, literal any) values {
	rest := v.where(opposites[operator], literal)
	if operator != "==" && operator != "!=" {
		rest.open, rest.others, rest.except = v.open, v.others, v.except
	}
	return rest
}

func (v values) some() bool { return !v.none() }

// only reports whether a key holds no numbers, and no other values than of a kind.
func (v values) only(kind reflect.Kind) bool {
	return !v.open && !v.numbers() && !slices.ContainsFunc(v.others, func(o any) bool { return reflect.ValueOf(o).Kind() != kind })
}

// mayFault reports whether a guard may give no answer, because it cannot be evaluated. What it does not understand may.
func mayFault(node ast.Node, known map[string]values) bool {
	switch n := node.(type) {
	case *ast.BoolNode:
		return false
	case *ast.MemberNode:
		return !readable(n) || !valuesOf(pathOf(n), known).only(reflect.Bool)
	case *ast.UnaryNode:
		return n.Operator != "!" && n.Operator != "not" || mayFault(n.Node, known)
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and", "||", "or":
			return mayFault(n.Left, known) || mayFault(n.Right, known)
		case "in":
			return mayFaultIn(n, known)
		case "==", "!=":
			return !always(n.Left) || !always(n.Right)
		case "<", "<=", ">", ">=":
			return !isNumber(n.Left, known) || !isNumber(n.Right, known)
		}
	}
	return true
}

// mayFaultIn is mayFault for what looks for a key in a list of literals. The library makes such a list a map, which takes keys of one kind.
func mayFaultIn(n *ast.BinaryNode, known map[string]values) bool {
	if !readable(n.Left) {
		return true
	}
	switch list := n.Right.(type) {
	case *ast.ArrayNode:
		return slices.ContainsFunc(list.Nodes, func(item ast.Node) bool { _, literal := literalOf(item); return !literal })
	case *ast.ConstantNode:
		t, v := reflect.TypeOf(list.Value), valuesOf(pathOf(n.Left), known)
		switch {
		case t == nil:
			return true
		case t.Kind() == reflect.Slice:
			return false
		case t.Kind() == reflect.Map && t.Key().Kind() == reflect.Int:
			return v.open || len(v.others) > 0 || !v.whole
		case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
			return !v.only(reflect.String)
		}
	}
	return true
}

// always reports whether a side of a comparison can always be read.
func always(node ast.Node) bool {
	_, literal := literalOf(node)
	return literal || readable(node)
}

// isNumber reports whether a side of a comparison is a number, whatever happens.
func isNumber(node ast.Node, known map[string]values) bool {
	if literal, ok := literalOf(node); ok {
		_, is := number(literal)
		return is
	}
	v := valuesOf(pathOf(node), known)
	return readable(node) && !v.open && len(v.others) == 0
}

// readable reports whether a path can be read whatever happens: a key that is not there is null, but null has no keys.
func readable(node ast.Node) bool {
	m, ok := node.(*ast.MemberNode)
	if !ok || pathOf(m) == "" {
		return false
	}
	if _, ok := m.Node.(*ast.IdentifierNode); ok {
		return true
	}
	return pathOf(m.Node) == ".event.payload"
}

func valuesOf(key string, known map[string]values) values {
	if v, ok := known[key]; ok {
		return v
	}
	return anyValues()
}
