package watchers

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// CodeFormula is a property whose expression cannot be compiled.
const CodeFormula diag.Code = "SC257"

// Formula is a property that is written as an expression and read at each look: data, input, facts, identity,
// machine, instance, state, at, get_fact(path), merge(mapping, mapping) and, where the watcher says so, message. It is immutable and safe
// for concurrent use. A nil Formula has the value nil.
type Formula struct {
	text    string
	program *vm.Program
	reads   []string // the names of what it sees that it reads
	gives   string   // what it is known to give: a boolean, a text, a number, a mapping, a list; "" where only a look shows
}

// CompileFormula compiles an expression. The clock is off: time comes from the look.
func CompileFormula(text string) (*Formula, error) {
	seen := types.Map{
		"get_fact": types.TypeOf(func(string) any { return nil }),
		"at":       types.TypeOf(time.Time{}),
		"message":  types.Any,
		chargeName: types.TypeOf(func(...any) (any, error) { return nil, nil }),
	}
	for _, name := range []string{"data", "input", "facts"} {
		seen[name] = types.TypeOf(map[string]any{})
	}
	for _, name := range []string{"identity", "machine", "instance", "state"} {
		seen[name] = types.TypeOf("")
	}
	opts := append([]expr.Option{
		expr.Env(seen), expr.DisableBuiltin("now"), expr.DisableBuiltin("timezone"),
		expr.Function("merge", mergeMappings, new(func(map[string]any, map[string]any) map[string]any)),
	}, expressionBounds()...)
	program, err := guarded(func() (*vm.Program, error) { return expr.Compile(text, opts...) })
	if err != nil {
		return nil, errors.New(expressionMessage(err))
	}
	return &Formula{text: text, program: program, reads: readsOf(program), gives: givenBy(program)}, nil
}

// givenBy says what an expression gives whatever the look is, "" where that is not known.
func givenBy(program *vm.Program) string {
	switch t := program.Node().Type(); {
	case t == nil:
		return ""
	case t == reflect.TypeFor[time.Time](), t == reflect.TypeFor[time.Duration]():
		return "time"
	default:
		return valueWords[t.Kind()]
	}
}

var valueWords = map[reflect.Kind]string{
	reflect.Bool: "boolean", reflect.String: "text", reflect.Map: "mapping", reflect.Slice: "list", reflect.Array: "list",
	reflect.Int: "number", reflect.Int8: "number", reflect.Int16: "number", reflect.Int32: "number", reflect.Int64: "number",
	reflect.Uint: "number", reflect.Uint8: "number", reflect.Uint16: "number", reflect.Uint32: "number", reflect.Uint64: "number",
	reflect.Float32: "number", reflect.Float64: "number",
}

// readsOf lists the names that an expression reads, so that a look prepares nothing else. One that reads all there is, which is called
// $env, reads every name.
func readsOf(program *vm.Program) []string {
	n := names{}
	root := program.Node()
	ast.Walk(&root, n)
	if n["$env"] {
		return seenNames[:]
	}
	return slices.DeleteFunc(slices.Clone(seenNames[:]), func(name string) bool { return !n[name] })
}

// names collects the identifiers of an expression.
type names map[string]bool

// Visit implements the library's visitor.
func (n names) Visit(node *ast.Node) {
	if id, ok := (*node).(*ast.IdentifierNode); ok {
		n[id.Value] = true
	}
}

// seenNames is everything that an expression sees.
var seenNames = [...]string{"data", "input", "facts", "identity", "machine", "instance", "state", "at", "message", "get_fact", chargeName}

// seen is what a name stands for in a look.
func seen(name string, look *Look, message any) any {
	switch name {
	case "data":
		return orEmpty(look.Data)
	case "input":
		return orEmpty(look.Input)
	case "facts":
		return look.Facts.Map()
	case "identity":
		return look.Identity
	case "machine":
		return look.Machine
	case "instance":
		return look.Instance
	case "state":
		return look.State
	case "at":
		return look.At
	case "message":
		return message
	case "get_fact":
		return look.fact
	default: // chargeName
		return newCharge()
	}
}

// UnmarshalNode implements strict.Unmarshaler.
func (f *Formula) UnmarshalNode(n *strict.Node, _ strict.Options) diag.List {
	var list diag.List
	if n.Kind != strict.Scalar {
		list.Add(diag.Error, CodeFormula, n.Pos, "write one expression, such as {name: data.name}, as a text", "an expression is expected, not a mapping or a list")
		return list
	}
	compiled, err := CompileFormula(n.Value)
	if err != nil {
		list.Add(diag.Error, CodeFormula, n.Pos, "expressions see data, input, facts, identity, machine, instance, state, at, message and get_fact(path)",
			"expression: %v", err)
		return list
	}
	*f = *compiled
	return list
}

// String is the expression as written.
func (f *Formula) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// Value evaluates the expression for a look. message is what the watcher was sent, nil where it was sent nothing.
func (f *Formula) Value(look *Look, message any) (any, error) {
	if f == nil {
		return nil, nil
	}
	env := make(map[string]any, len(f.reads))
	for _, name := range f.reads {
		env[name] = seen(name, look, message)
	}
	v, err := evaluate(f.program, env)
	if err != nil {
		return nil, errors.New(expressionMessage(err))
	}
	return v, nil
}

// Holds evaluates a condition. A nil Formula holds.
func (f *Formula) Holds(look *Look, message any) (bool, error) {
	if f == nil {
		return true, nil
	}
	v, err := f.Value(look, message)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, errors.New("the expression " + brief(f.text) + " is not true or false")
	}
	return b, nil
}

// Text evaluates an expression that is to give a text.
func (f *Formula) Text(look *Look, message any) (string, error) {
	v, err := f.Value(look, message)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", errors.New("the expression " + brief(f.text) + " is not a text")
	}
	return s, nil
}

// Object evaluates an expression that is to give a mapping. A nil Formula gives none.
func (f *Formula) Object(look *Look, message any) (map[string]any, error) {
	v, err := f.Value(look, message)
	if err != nil || v == nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the expression " + brief(f.text) + " is not a mapping")
	}
	return m, nil
}

// mergeMappings returns a mapping with the entries of both; where both have a key, the second's counts.
func mergeMappings(args ...any) (any, error) {
	merged := map[string]any{}
	for _, arg := range args {
		m, ok := arg.(map[string]any)
		if !ok {
			return nil, errors.New("merge takes two mappings")
		}
		maps.Copy(merged, m)
	}
	return merged, nil
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}
