package machine

import (
	"reflect"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/types"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// seenHint says what guards and assignments see.
func (c *exprCompiler) seenHint() string {
	if c.d.Manifest.Marked() {
		return "an expression sees event, data, input, machine, instance, state and at"
	}
	return "an expression sees event, data, input, instance, state and at"
}

// guard compiles a condition, which is an expression without a mark.
func (c *exprCompiler) guard(text string, at diag.Position, env types.Map) *expression {
	if bare, marked := c.withoutMark(text, at); marked {
		return compileExpr(bare, env, expr.AsBool())
	}
	return c.compile(text, at, env, expr.AsBool())
}

// withoutMark refuses a mark around a condition, and returns what is in it.
func (c *exprCompiler) withoutMark(text string, at diag.Position) (string, bool) {
	bare, marked := marks.Whole(text)
	if marked && c.d.Manifest.Strict() {
		c.list.Add(diag.Error, marks.CodeNoMark, at, "write it without the mark: "+diag.Brief(bare, 60), "a condition is an expression and has no mark")
	}
	return bare, marked && c.d.Manifest.Strict()
}

// assignment compiles the expressions of a value and holds it against the type of its key.
func (c *exprCompiler) assignment(a Assignment, env types.Map) assignment {
	out := assignment{key: a.Key, value: a.Value}
	for _, e := range a.Value.Expressions() {
		out.exprs = append(out.exprs, c.compile(e.Expr, e.Pos, env))
	}
	if !c.d.Manifest.Marked() || a.Value.Kind == marks.Expression {
		c.checkType(a, out.exprs[0])
		return out
	}
	c.checkValue(a)
	c.unmarked(a.Value, env)
	return out
}

// evaluate returns what an assignment sets.
func (a assignment) evaluate(env map[string]any) (any, error) {
	v, err := a.value.Evaluate(func(i int) (any, error) { return a.exprs[i].value(env) })
	if err != nil || a.value.Kind == marks.Expression {
		return v, err
	}
	return normalise(v)
}

// checkType refuses assignments whose result is known to be of another type than the key.
func (c *exprCompiler) checkType(a Assignment, e *expression) {
	want, declared := c.d.types[a.Key]
	if !declared || e.err != nil {
		return
	}
	got := e.program.Node().Type()
	if got == nil || canHold(want, got) {
		return
	}
	c.list.Add(diag.Error, codeSetType, a.Pos, "convert it in the expression, for example with int() or string(), or change the declaration",
		"set %s: the expression gives %s, but the key is declared %s", a.Key, goTypeName(got), want)
}

// checkValue refuses values that are written as another type than that of the key.
func (c *exprCompiler) checkValue(a Assignment) {
	want, declared := c.d.types[a.Key]
	if !declared {
		return
	}
	what, fits := "a text", canHold(want, reflect.TypeFor[string]())
	switch a.Value.Kind {
	case marks.List:
		what, fits = "a list", want.admits([]any{})
	case marks.Mapping:
		what, fits = "an object", want.admits(map[string]any{})
	case marks.Literal:
		v, err := normalise(a.Value.Literal)
		what = describe(v)
		_, fits = want.convert(v)
		fits = err == nil && (fits || v == nil) // null takes the key away
	}
	if !fits {
		c.list.Add(diag.Error, codeSetType, a.Pos, valueHint(want, a.Value), "set %s: the value is %s, but the key is declared %s", a.Key, what, want)
	}
}

func valueHint(want ValueType, v *marks.Value) string {
	if want == String && v.Kind == marks.Literal {
		return "put it into quotes, or change the declaration"
	}
	return "write a value of that type, an expression that gives one, such as ${ data.name }, or change the declaration"
}

// unmarked tells of literals that look like expressions.
func (c *exprCompiler) unmarked(v *marks.Value, env types.Map) {
	v.Literals(func(text string, at diag.Position) {
		if !marks.Resembles(text) {
			return
		}
		if e := compileExpr(text, env); e.err == nil || nearMiss(e.err, namesIn(env)) {
			c.list.Add(diag.Warning, marks.CodeUnmarked, at, marks.UnmarkedHint(text), "%s looks like an expression: write %s", text, marks.Mark(text))
		}
	})
}

// nearMiss reports whether an expression fails by a name that is nearly one of those that exist.
func nearMiss(err error, names []string) bool {
	m := unknownName.FindStringSubmatch(exprMessage(err))
	return len(m) > 1 && strict.Nearest(m[1], names) != ""
}
