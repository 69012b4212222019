package machine

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// expression is a compiled guard or assignment. It is immutable and safe for concurrent use.
type expression struct {
	text    string
	program *vm.Program
	err     error // of compilation; such an expression never has a value
	secret  bool  // it reads a secret, which its errors must not tell
}

// compileExpr compiles an expression over an environment. Functions that read a clock, the host's time
// zone or a map's order are off, so that a replay reads what the live machine read.
func compileExpr(text string, env types.Map, opts ...expr.Option) *expression {
	seen := maps.Clone(env)
	seen[roundsKey] = types.TypeOf(&rounds{})
	p := &pure{text: text}
	opts = append([]expr.Option{
		expr.Env(seen), expr.MaxNodes(maxExprNodes), expr.Patch(p), withCharge, withWhole,
		expr.DisableBuiltin("now"), expr.DisableBuiltin("timezone"),
		expr.DisableBuiltin("keys"), expr.DisableBuiltin("values"), expr.DisableBuiltin("toPairs"),
	}, opts...)
	opts = append(opts, ownFunctions()...)
	program, err := protect(func() (*vm.Program, error) { return expr.Compile(text, opts...) })
	if p.err != nil {
		err = p.err
	}
	return &expression{text: text, program: program, err: err}
}

// value evaluates the expression. The result is normal.
func (e *expression) value(env map[string]any) (any, error) {
	v, err := e.run(env)
	if err != nil {
		return nil, err
	}
	normal, err := normalise(v)
	if err != nil && e.secret {
		return nil, errSecretExpr
	}
	return normal, err
}

// holds evaluates a guard.
func (e *expression) holds(env map[string]any) (bool, error) {
	v, err := e.run(env)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("the guard is %s, not a boolean", describe(v))
	}
	return b, nil
}

func (e *expression) run(env map[string]any) (any, error) {
	if e.err != nil {
		return nil, e.err
	}
	v, err := protect(func() (any, error) {
		env[roundsKey] = &rounds{left: maxExprRounds}
		evaluation := vm.VM{MemoryBudget: maxExprMemory}
		return evaluation.Run(e.program, env)
	})
	switch {
	case err != nil && e.secret:
		return nil, errSecretExpr
	case err != nil:
		return nil, errors.New(exprMessage(err))
	}
	return v, nil
}

// protect turns a panic of the expression library, which no expression may cause in the host, into an error.
func protect[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the expression cannot be evaluated: %v", r)
		}
	}()
	return f()
}

// exprMessage renders an error of the library on one line, with its column.
func exprMessage(err error) string {
	var place *file.Error
	if !errors.As(err, &place) {
		line, _, _ := strings.Cut(err.Error(), "\n") // a stack may follow
		return line
	}
	if place.Line == 0 {
		return place.Message
	}
	if place.Line > 1 {
		return fmt.Sprintf("%s (line %d, column %d of the expression)", place.Message, place.Line, place.Column+1)
	}
	return fmt.Sprintf("%s (column %d of the expression)", place.Message, place.Column+1)
}
