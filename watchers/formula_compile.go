package watchers

import (
	"errors"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/marks"
)

// scope is what the expressions of a watcher see beyond what every look has. The zero scope is that of manifests older than format 2.
type scope struct {
	marked bool
	data   map[string]machine.ValueType // nil where any key may be in the data
}

func scopeOf(w *machine.WatcherSpec) scope {
	s := scope{marked: w.Marked}
	if w.Marked {
		s.data = w.Data
	}
	return s
}

// types are the names with their types. Names that came later than format 1 are left out of it: an old manifest may have them as variables.
func (s scope) types() types.Map {
	all := types.Map{
		"get_fact": types.TypeOf(func(string) any { return nil }),
		"at":       types.TypeOf(time.Time{}),
		"message":  types.Any,
		chargeName: types.TypeOf(func(...any) (any, error) { return nil, nil }),
	}
	for _, name := range []string{"data", "input", "facts"} {
		all[name] = types.TypeOf(map[string]any{})
	}
	for _, name := range []string{"identity", "machine", "instance", "state"} {
		all[name] = types.String
	}
	if s.marked {
		all["token"] = types.String
	}
	if s.data != nil {
		declared := types.Map{}
		for key, t := range s.data {
			declared[key] = t.ExprType()
		}
		all["data"] = declared
	}
	return all
}

// program compiles one expression over some names.
func program(text string, names types.Map, opts ...expr.Option) (*vm.Program, error) {
	opts = append([]expr.Option{
		expr.Env(names), expr.DisableBuiltin("now"), expr.DisableBuiltin("timezone"),
		expr.Function("merge", mergeMappings, new(func(map[string]any, map[string]any) map[string]any)),
	}, opts...)
	compiled, err := guarded(func() (*vm.Program, error) { return expr.Compile(text, append(opts, expressionBounds()...)...) })
	if err != nil {
		return nil, errors.New(expressionMessage(err))
	}
	return compiled, nil
}

// compile compiles the expressions of a value. What fails is told to report, and ends it where that returns an error.
func (f *Formula) compile(s scope, report func(e *marks.Value, err error) error, opts ...expr.Option) error {
	if f.value == nil || f.programs != nil {
		return nil
	}
	names := s.types()
	for _, e := range f.value.Expressions() {
		compiled, err := program(e.Expr, names, opts...)
		if err != nil {
			if err := report(e, err); err != nil {
				return err
			}
			continue
		}
		f.programs = append(f.programs, compiled)
	}
	f.reads, f.gives = readsOf(f.programs), f.given()
	return nil
}

// given says what a value gives whatever the look is, "" where that is not known.
func (f *Formula) given() string {
	switch f.value.Kind {
	case marks.Text:
		return "text"
	case marks.List:
		return "list"
	case marks.Mapping:
		return "mapping"
	case marks.Expression:
		if len(f.programs) == 1 {
			return givenBy(f.programs[0])
		}
		return ""
	}
	switch f.value.Literal.(type) {
	case string:
		return "text"
	case bool:
		return "boolean"
	case int, float64:
		return "number"
	case []any:
		return "list"
	case map[string]any:
		return "mapping"
	default:
		return "nothing"
	}
}
