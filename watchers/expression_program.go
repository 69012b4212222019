package watchers

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// expressionProgram is a compiled condition. It is immutable and safe for concurrent use.
type expressionProgram struct{ program *vm.Program }

// compileExpression compiles a condition. The clock is off: time comes from timers and schedules.
func compileExpression(text string) (*expressionProgram, error) {
	opts := append([]expr.Option{
		expr.Env(types.Map{
			"data":     types.TypeOf(map[string]any{}),
			"facts":    types.TypeOf(map[string]any{}),
			"identity": types.TypeOf(""),
			"get_fact": types.TypeOf(func(string) any { return nil }),
			chargeName: types.TypeOf(func(...any) (any, error) { return nil, nil }),
		}),
		expr.AsBool(), expr.DisableBuiltin("now"), expr.DisableBuiltin("timezone"),
	}, expressionBounds()...)
	program, err := guarded(func() (*vm.Program, error) { return expr.Compile(text, opts...) })
	if err != nil {
		return nil, errors.New(expressionMessage(err))
	}
	return &expressionProgram{program: program}, nil
}

// expressionEnv is what a condition sees.
func expressionEnv(look *Look) map[string]any {
	return map[string]any{"data": orEmpty(look.Data), "facts": look.Facts.Map(), "identity": look.Identity, "get_fact": look.fact}
}

// fact is the fact at a path, nil where there is none.
func (l *Look) fact(path string) any {
	v, _ := l.Facts.Get(path)
	return v
}

// holds evaluates the condition.
func (p *expressionProgram) holds(env map[string]any) (bool, error) {
	env[chargeName] = newCharge()
	v, err := evaluate(p.program, env)
	if err != nil {
		return false, errors.New(expressionMessage(err))
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("the expression gives %T, not true or false", v)
	}
	return b, nil
}

// evaluate runs a compiled expression, within its bounds of memory.
func evaluate(program *vm.Program, env map[string]any) (any, error) {
	return guarded(func() (any, error) {
		evaluation := vm.VM{Stack: make([]any, 0, evaluationStack), MemoryBudget: maxExpressionMemory}
		return evaluation.Run(program, env)
	})
}

// evaluationStack is room for nearly every expression, which the library would get in small steps.
const evaluationStack = 16

// guarded turns a panic of the library, which no manifest may cause in the host, into an error.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the expression cannot be evaluated: %v", r)
		}
	}()
	return f()
}

// expressionMessage renders an error of the library on one line, with its column.
func expressionMessage(err error) string {
	var place *file.Error
	if errors.As(err, &place) && place.Line > 0 {
		return fmt.Sprintf("%s (line %d, column %d of the expression)", place.Message, place.Line, place.Column+1)
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
