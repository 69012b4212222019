package machine

import (
	"math"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// deadGuards finds guards that can never be true: of what is the same whatever happens, of comparisons of one key that exclude each other, and
// of a key that the machine itself sets, and never to what is asked for.
func (c *checker) deadGuards() {
	known := c.possible()
	for i := range c.d.rules {
		t := &c.m.Transitions[i]
		if reason := deadGuard(c.d.rules[i].when, known); reason != "" {
			c.proven("SC425", t.place("when"), "mend the guard, or set the key to what it asks for", "the guard of %s can never be true: %s", t.Name, reason)
		}
	}
	for i := range c.d.watchers {
		w := &c.m.Watchers[i]
		if reason := deadGuard(c.d.watchers[i].when, known); reason != "" {
			c.proven("SC425", w.Place("when"), "mend the guard, or set the key to what it asks for", "watcher %s never looks: its when can never be true: %s", w.Name, reason)
		}
	}
}

// possible is what the keys of data can hold, as far as that is known.
func (c *checker) possible() map[string]values {
	if c.values == nil {
		c.values = c.d.reachableValues(c.cat)
		if c.values == nil {
			c.values = map[string]values{}
		}
	}
	return c.values
}

// deadGuard says why a guard can never be true, "" where it may be.
func deadGuard(e *expression, known map[string]values) string {
	if e == nil || e.err != nil || e.program == nil {
		return ""
	}
	root := e.program.Node()
	if mayHold(root, copyOf(known)) {
		return ""
	}
	compared := map[string]values{}
	switch holds := mayHold(root, compared); {
	case holds:
		return "nothing sets the data that it compares to such a value"
	case len(compared) == 0:
		return "it is false whatever happens"
	}
	return "no value of the data that it compares meets it"
}

// values is what a data key can hold: numbers within bounds, both included, where low <= high, and some other values.
type values struct {
	low, high float64
	others    []any
	open      bool // and anything that is no number, but for
	except    []any
	whole     bool // its numbers have no fraction
}

// anyValues is a key of which nothing is known.
func anyValues() values { return values{low: math.Inf(-1), high: math.Inf(1), open: true} }

func (v values) numbers() bool { return v.low <= v.high }

// with adds a value that is written.
func (v values) with(literal any) values {
	if n, ok := number(literal); ok {
		if !v.numbers() {
			v.low, v.high = n, n
		}
		v.low, v.high = min(v.low, n), max(v.high, n)
		return v
	}
	v.others = append(slices.Clone(v.others), literal)
	return v
}

// where leaves the values that a comparison with a literal holds for. It never leaves out one that it may hold for.
func (v values) where(operator string, literal any) values {
	n, isNumber := number(literal)
	if !isNumber {
		switch operator {
		case "==":
			keep := v.open && !slices.Contains(v.except, literal) || slices.Contains(v.others, literal)
			v = values{low: 1, high: 0}
			if keep {
				v.others = []any{literal}
			}
		case "!=":
			v.others = slices.DeleteFunc(slices.Clone(v.others), func(o any) bool { return o == literal })
			v.except = append(slices.Clone(v.except), literal)
		}
		return v
	}
	if operator == "!=" {
		if v.low == n && v.high == n {
			v.low, v.high = 1, 0
		}
		return v
	}
	v.open, v.others = false, nil // what is no number is not equal to one, and cannot be compared with one
	step := func(towards float64) float64 {
		if v.whole && n == math.Trunc(n) {
			return n + towards
		}
		return math.Nextafter(n, math.Inf(int(towards)))
	}
	switch operator {
	case "==":
		v.low, v.high = max(v.low, n), min(v.high, n)
	case "<":
		v.high = min(v.high, step(-1))
	case "<=":
		v.high = min(v.high, n)
	case ">":
		v.low = max(v.low, step(1))
	case ">=":
		v.low = max(v.low, n)
	}
	return v
}

func (v values) none() bool { return !v.numbers() && !v.open && len(v.others) == 0 }

func number(literal any) (float64, bool) {
	switch n := literal.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// mayHold reports whether a guard may be true, and narrows what the keys can hold to where it is. What it does not understand may be.
func mayHold(node ast.Node, known map[string]values) bool {
	switch n := node.(type) {
	case *ast.BoolNode:
		return n.Value
	case *ast.ConstantNode:
		return n.Value != false
	case *ast.MemberNode:
		return compares(n, "==", true, known)
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return mayFail(n.Node, known)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			return mayHold(n.Left, known) && mayHold(n.Right, known)
		case "||", "or":
			return mayHold(n.Left, copyOf(known)) || mayHold(n.Right, copyOf(known))
		}
		return holds(n, n.Operator, known)
	}
	return true
}

var opposites = map[string]string{"==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}

// mayFail reports whether a guard may be false, and narrows what the keys can hold to where it is. What it does not understand may be.
func mayFail(node ast.Node, known map[string]values) bool {
	switch n := node.(type) {
	case *ast.BoolNode:
		return !n.Value
	case *ast.ConstantNode:
		return n.Value != true
	case *ast.MemberNode:
		return compares(n, "==", false, known)
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return mayHold(n.Node, known)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			return mayFail(n.Left, copyOf(known)) || mayFail(n.Right, copyOf(known))
		case "||", "or":
			return mayFail(n.Left, known) && mayFail(n.Right, known)
		}
		if opposite := opposites[n.Operator]; opposite != "" {
			return holds(n, opposite, known)
		}
	}
	return true
}

// mirrored are the comparisons as they read from the other side.
var mirrored = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// holds reports whether a comparison may hold, as if it were written with an operator.
func holds(n *ast.BinaryNode, operator string, known map[string]values) bool {
	return sided(n, operator,
		func(left, right any) bool { return !values{low: 1, high: 0}.with(left).where(operator, right).none() },
		func(node ast.Node, operator string, literal any) bool {
			return compares(node, operator, literal, known)
		})
}

// sided asks about two literals, or about what stands on the other side of one; true where there is neither.
func sided(n *ast.BinaryNode, operator string, literals func(left, right any) bool, against func(node ast.Node, operator string, literal any) bool) bool {
	if mirrored[operator] == "" {
		return true
	}
	left, isLeft := literalOf(n.Left)
	right, isRight := literalOf(n.Right)
	switch {
	case isLeft && isRight:
		return literals(left, right)
	case isRight:
		return against(n.Left, operator, right)
	case isLeft:
		return against(n.Right, mirrored[operator], left)
	}
	return true
}

// compares reports whether a key may compare so with a literal; what is no key may.
func compares(node ast.Node, operator string, literal any, known map[string]values) bool {
	key := pathOf(node)
	if key == "" {
		return true
	}
	v, ok := known[key]
	if !ok {
		v = anyValues()
	}
	v = v.where(operator, literal)
	known[key] = v
	return !v.none()
}

// dataKey returns the key of data that an expression is, "" for another one.
func dataKey(node ast.Node) string {
	m, ok := node.(*ast.MemberNode)
	if !ok {
		return ""
	}
	name, constant := m.Property.(*ast.StringNode)
	if base, ok := m.Node.(*ast.IdentifierNode); !ok || base.Value != "data" || !constant {
		return ""
	}
	return name.Value
}

// pathOf returns the key of data, or the path to what comes with an event or is otherwise the same for all guards of a choice; "" for anything else.
func pathOf(node ast.Node) string {
	if key := dataKey(node); key != "" {
		return key
	}
	m, ok := node.(*ast.MemberNode)
	if !ok || m.Optional {
		return ""
	}
	name, constant := m.Property.(*ast.StringNode)
	if !constant {
		return ""
	}
	if base, ok := m.Node.(*ast.IdentifierNode); ok {
		return "." + base.Value + "." + name.Value // no key of data begins so
	}
	if path := pathOf(m.Node); path != "" {
		return path + "." + name.Value
	}
	return ""
}

// literalOf returns the text, number or truth that is written.
func literalOf(node ast.Node) (any, bool) {
	switch n := node.(type) {
	case *ast.IntegerNode:
		return n.Value, true
	case *ast.FloatNode:
		return n.Value, true
	case *ast.StringNode:
		return n.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.UnaryNode:
		if v, ok := literalOf(n.Node); ok && n.Operator == "-" {
			if x, isNumber := number(v); isNumber {
				return -x, true
			}
		}
	}
	return nil, false
}

func copyOf(known map[string]values) map[string]values {
	out := make(map[string]values, len(known))
	for k, v := range known {
		out[k] = v
	}
	return out
}
