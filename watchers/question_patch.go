package watchers

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
)

// quadratic are the functions that hold each element of a list against each other.
var quadratic = []string{"uniq"}

// questionBounds are the options of a question. The library's optimizer is off: it makes what an expression only describes.
func questionBounds() []expr.Option {
	opts := []expr.Option{
		expr.MaxNodes(maxExpressionNodes), expr.Optimize(false),
		expr.DisableBuiltin("repeat"), expr.DisableBuiltin("now"), expr.DisableBuiltin("timezone"),
	}
	for _, name := range slices.Concat(stretching, quadratic) {
		f := *builtin.Builtins[builtin.Index[name]]
		opts = append(opts, expr.DisableBuiltin(name), func(c *conf.Config) {
			c.Functions[name] = &builtin.Function{Name: name, Types: f.Types, Validate: f.Validate, Func: held(&f)}
		})
	}
	return opts
}

// questionPatch rewrites a question: what it reads of the document becomes paths, so that nothing else is decoded, and what can take long
// is weighed. Nodes are visited from the inside out.
type questionPatch struct {
	members map[string]bool
	paths   []Path
	at      map[string]int // of paths, by their text
	err     error
}

func newQuestionPatch(members []string) *questionPatch {
	p := &questionPatch{members: map[string]bool{}, at: map[string]int{}}
	for _, name := range members {
		p.members[name] = true
	}
	return p
}

// Visit implements the library's visitor.
func (p *questionPatch) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if p.members[n.Value] {
			ast.Patch(node, p.reading(newPath([]string{n.Value}, false)))
		}
	case *ast.MemberNode:
		p.navigation(node, n)
	case *ast.CallNode:
		p.call(node, n)
	case *ast.PredicateNode:
		n.Node = charged(n.Node)
	case *ast.BuiltinNode:
		for i, arg := range n.Arguments {
			n.Arguments[i] = weighed(arg, textWeight)
		}
	case *ast.SliceNode:
		n.Node = weighed(n.Node, textWeight)
	case *ast.BinaryNode:
		p.binary(node, n)
	}
}

// reading is the call that reads a path.
func (p *questionPatch) reading(path Path) ast.Node {
	key := fmt.Sprint(path)
	i, ok := p.at[key]
	if !ok {
		i = len(p.paths)
		p.at[key], p.paths = i, append(p.paths, path)
	}
	return called(readName, &ast.IntegerNode{Value: i})
}

// read is the path that a node reads.
func (p *questionPatch) read(node ast.Node) (Path, bool) {
	call, ok := node.(*ast.CallNode)
	if !ok || call.Callee.(*ast.IdentifierNode).Value != readName {
		return Path{}, false
	}
	path := p.paths[call.Arguments[0].(*ast.IntegerNode).Value]
	return path, !path.count
}

// navigation extends a path by a name that the question says, and is a call where the name is computed.
func (p *questionPatch) navigation(node *ast.Node, n *ast.MemberNode) {
	if chain, ok := n.Node.(*ast.ChainNode); ok {
		n.Node = chain.Node // a member that is not there ends nothing
	}
	if path, ok := p.read(n.Node); ok {
		switch property := n.Property.(type) {
		case *ast.StringNode:
			ast.Patch(node, p.reading(path.then(property.Value)))
			return
		case *ast.IntegerNode:
			ast.Patch(node, p.reading(path.then(strconv.Itoa(property.Value))))
			return
		}
		ast.Patch(node, called(stepName, n.Node.(*ast.CallNode).Arguments[0], n.Property))
		return
	}
	ast.Patch(node, called(memberName, n.Node, n.Property))
}

// call makes now() a value, and get_fact of a path that the question says a reading.
func (p *questionPatch) call(node *ast.Node, n *ast.CallNode) {
	name := n.Callee.(*ast.IdentifierNode).Value
	switch {
	case name == "now" && len(n.Arguments) == 0:
		ast.Patch(node, &ast.IdentifierNode{Value: nowName})
	case name == "get_fact" && (len(n.Arguments) == 1 || len(n.Arguments) == 2):
		text, ok := n.Arguments[0].(*ast.StringNode)
		if !ok {
			return
		}
		path, err := ParsePath(text.Value)
		if err != nil {
			p.err = errors.Join(p.err, err)
			return
		}
		read := p.reading(path.Below("facts"))
		if len(n.Arguments) == 2 {
			read = &ast.BinaryNode{Operator: "??", Left: read, Right: n.Arguments[1]}
		}
		ast.Patch(node, read)
	case !strings.HasPrefix(name, "#") && name != "get_fact":
		ast.Patch(node, charged(n))
	}
}

// binary weighs what an operator goes through.
func (p *questionPatch) binary(node *ast.Node, n *ast.BinaryNode) {
	switch n.Operator {
	case "+":
		if t := n.Type(); t == nil || t.Kind() == reflect.String || t.Kind() == reflect.Interface {
			ast.Patch(node, charged(n))
		}
	case "matches":
		if perCharacter, err := patternSteps(n.Right); err == nil {
			n.Left = weighed(n.Left, textWeight*perCharacter)
		}
	case "==", "!=", "<", "<=", ">", ">=":
		if !literal(n.Left) && !literal(n.Right) {
			n.Left, n.Right = weighed(n.Left, textWeight), weighed(n.Right, textWeight)
		}
	case "in":
		n.Right = weighed(n.Right, textWeight)
		if !literal(n.Left) {
			n.Left = weighed(n.Left, textWeight)
		}
	case "contains":
		n.Left = weighed(n.Left, textWeight)
	}
}

// literal reports whether a node is a value that is small, because it is written out.
func literal(node ast.Node) bool {
	switch node.(type) {
	case *ast.NilNode, *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		return true
	}
	return false
}

// weighed makes a value cost what it is large.
func weighed(node ast.Node, weight int) ast.Node {
	if _, predicate := node.(*ast.PredicateNode); predicate || literal(node) {
		return node
	}
	return called(weighName, node, &ast.IntegerNode{Value: weight})
}

// called is a call of a name that cannot be written.
func called(name string, args ...ast.Node) ast.Node {
	call := &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
	call.SetLocation(args[0].Location())
	return call
}
