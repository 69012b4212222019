package machine

import (
	"fmt"
	"reflect"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
)

const (
	maxExprNodes  = 1000
	maxExprMemory = 1_000_000 // elements made in one evaluation
	maxExprRounds = 1_000_000 // of all loops in one evaluation, and KiB of text made
	maxExprText   = 1 << 20   // bytes of one text
)

var errExprText = fmt.Errorf("it makes a text of more than %d bytes", maxExprText)

// The library has no limit of time or of text, so the body of every loop and every sum of texts is wrapped in
// a call that counts: loops within loops over short lists could otherwise take years, and a text that is added to
// itself forty times does not fit into any memory. Neither name can be written in an expression.
const (
	chargeName = "#charge"
	roundsKey  = "#rounds"
)

// rounds counts down within one evaluation.
type rounds struct{ left int }

// charge returns its second argument, the body of a loop or a text that was put together.
func charge(args ...any) (any, error) {
	r := args[0].(*rounds)
	text, _ := args[1].(string)
	if len(text) > maxExprText {
		return nil, errExprText
	}
	if r.left -= 1 + len(text)/1024; r.left < 0 {
		return nil, fmt.Errorf("its loops take more than %d rounds", maxExprRounds)
	}
	return args[1], nil
}

func withCharge(c *conf.Config) {
	c.Functions[chargeName] = &builtin.Function{
		Name: chargeName, Func: charge,
		Validate: func(args []reflect.Type) (reflect.Type, error) { return args[1], nil },
	}
}

func charged(n ast.Node) ast.Node {
	call := &ast.CallNode{
		Callee:    &ast.IdentifierNode{Value: chargeName},
		Arguments: []ast.Node{&ast.IdentifierNode{Value: roundsKey}, n},
	}
	call.SetLocation(n.Location())
	return call
}

// pure keeps expressions deterministic and finite, as a visitor of the library.
type pure struct {
	text string
	err  error
}

// Visit implements the library's visitor.
func (p *pure) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.PredicateNode:
		n.Node = charged(n.Node)
	case *ast.BinaryNode:
		if isWhole(n) {
			ast.Patch(node, wholeCall(n))
			return
		}
		if t := n.Type(); n.Operator == "+" && (t == nil || t.Kind() == reflect.String || t.Kind() == reflect.Interface) {
			ast.Patch(node, charged(n))
		}
	case *ast.IdentifierNode:
		if n.Value == "$env" {
			p.refuse(n, n.Value)
		}
	case *ast.CallNode:
		// at.Local() reads the host's time zone.
		if m, ok := n.Callee.(*ast.MemberNode); ok {
			if name, ok := m.Property.(*ast.StringNode); ok && name.Value == "Local" {
				p.refuse(m, name.Value)
			}
		}
	}
}

func (p *pure) refuse(n ast.Node, name string) {
	at := &file.Error{Location: n.Location(), Message: "unknown name " + name}
	p.err = at.Bind(file.NewSource(p.text))
}
