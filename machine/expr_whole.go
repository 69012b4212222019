package machine

import (
	"fmt"
	"reflect"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/vm/runtime"
)

// The library's whole numbers wrap around, so that a counter at its end becomes negative. Their sums, differences and products are replaced by
// a call that refuses what is larger than an int. Its name cannot be written in an expression.
const wholeName = "#whole"

// integerResult returns the result of an operator for two whole numbers.
func integerResult(args ...any) (any, error) {
	operator, _ := args[0].(string)
	a, first := args[1].(int)
	b, second := args[2].(int)
	if !first || !second {
		return asLibrary(operator, args[1], args[2])
	}
	result, fits := 0, false
	switch operator {
	case "+":
		result = a + b
		fits = (result > a) == (b > 0)
	case "-":
		result = a - b
		fits = (result < a) == (b > 0)
	default:
		result = a * b
		fits = a == 0 || b == 0 || (result < 0) == ((a < 0) != (b < 0)) && result/b == a
	}
	if !fits {
		return nil, fmt.Errorf("%d %s %d is larger than an integer can be", a, operator, b)
	}
	return result, nil
}

// asLibrary is for values that are not of the declared type, which the library refuses with its own words or makes a float of.
func asLibrary(operator string, a, b any) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	switch operator {
	case "+":
		return runtime.Add(a, b), nil
	case "-":
		return runtime.Subtract(a, b), nil
	default:
		return runtime.Multiply(a, b), nil
	}
}

func withWhole(c *conf.Config) {
	c.Functions[wholeName] = &builtin.Function{
		Name: wholeName, Func: integerResult,
		Validate: func([]reflect.Type) (reflect.Type, error) { return reflect.TypeFor[int](), nil },
	}
}

// isWhole reports whether a node is one of the operators over two whole numbers.
func isWhole(n *ast.BinaryNode) bool {
	integer := func(of ast.Node) bool { t := of.Type(); return t != nil && t.Kind() == reflect.Int }
	return (n.Operator == "+" || n.Operator == "-" || n.Operator == "*") && integer(n.Left) && integer(n.Right)
}

func wholeCall(n *ast.BinaryNode) ast.Node {
	call := &ast.CallNode{
		Callee:    &ast.IdentifierNode{Value: wholeName},
		Arguments: []ast.Node{&ast.StringNode{Value: n.Operator}, n.Left, n.Right},
	}
	call.SetLocation(n.Location())
	call.SetType(reflect.TypeFor[int]())
	return call
}
