package watchers

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// CodeFormula is a property whose expression cannot be compiled.
const CodeFormula diag.Code = "SC257"

// Formula is the one compiled form of every property whose value may depend on the look: a literal, an expression, a text or structure with
// expressions in it, or a template of manifests older than format 2. What it sees is seenNames; message is there where the watcher says so. It is
// immutable and safe for concurrent use. A nil Formula has the value nil.
type Formula struct {
	text     string            // as written
	at       diag.Position     // where
	value    *marks.Value      // nil for a template
	template *machine.Template // nil for anything else
	programs []*vm.Program     // of the expressions in value, by index
	reads    []string          // the names of what it sees that it reads
	gives    string            // what it is known to give: a boolean, a text, a number, a mapping, a list; "" where only a look shows
}

// CompileFormula compiles an expression. The clock is off: time comes from the look.
func CompileFormula(text string) (*Formula, error) {
	f := &Formula{text: text, value: marks.Bare(text, diag.Position{})}
	return f, f.compile(scope{}, func(_ *marks.Value, err error) error { return err })
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

// readsOf lists the names that expressions read, so that a look prepares nothing else. One that reads all there is, which is called
// $env, reads every name.
func readsOf(programs []*vm.Program) []string {
	n := names{}
	for _, program := range programs {
		root := program.Node()
		ast.Walk(&root, n)
	}
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
var seenNames = [...]string{"data", "input", "facts", "identity", "token", "machine", "instance", "state", "at", "message", "get_fact", chargeName}

// seen is what a name stands for in a look.
func seen(name string, look *Look, message any) any {
	switch name {
	case "data":
		return orEmpty(look.Data)
	case "input":
		return orEmpty(look.Input)
	case "facts":
		return look.Facts.Map()
	case "identity", "token", "machine", "instance", "state":
		return look.own(name)
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

// UnmarshalNode implements strict.Unmarshaler. Marks are read here; expressions are compiled when all that they see is known, by Define.
func (f *Formula) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	var list diag.List
	if opts.Marked {
		f.text, f.at = n.Value, n.Pos
		f.value, list = marks.Read(n)
		return list
	}
	if n.Kind != strict.Scalar {
		list.Add(diag.Error, CodeFormula, n.Pos, "write one expression, such as {name: data.name}, as a text", "an expression is expected, not a mapping or a list")
		return list
	}
	f.text, f.value = n.Value, marks.Bare(n.Value, n.Pos)
	return nil
}

// Describe implements strict.Described.
func (*Formula) Describe() (word string, scalar bool) { return "value", false }

// String is the value as written.
func (f *Formula) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// Value is the value for a look. message is what the watcher was sent, nil where it was sent nothing.
func (f *Formula) Value(look *Look, message any) (any, error) {
	switch {
	case f == nil:
		return nil, nil
	case f.template != nil:
		return f.template.Expand(look.lookup)
	case f.value.Kind == marks.Literal:
		return f.value.Literal, nil
	}
	return f.value.Evaluate(f.evaluator(look, message))
}

// fill is the value for a look as it stands in a text.
func (f *Formula) fill(look *Look, message any) (string, error) {
	switch {
	case f == nil:
		return "", nil
	case f.template != nil:
		return f.template.Expand(look.lookup)
	}
	return f.value.Fill(f.evaluator(look, message))
}

// evaluator evaluates the expressions of a value, which share the bounds of one evaluation.
func (f *Formula) evaluator(look *Look, message any) func(i int) (any, error) {
	env := make(map[string]any, len(f.reads))
	for _, name := range f.reads {
		env[name] = seen(name, look, message)
	}
	return func(i int) (any, error) {
		v, err := evaluate(f.programs[i], env)
		if err != nil {
			return nil, errors.New(expressionMessage(err))
		}
		return v, nil
	}
}

// Text evaluates an expression that is to give a text.
func (f *Formula) Text(look *Look, message any) (string, error) {
	v, err := f.Value(look, message)
	if err != nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", errors.New(f.what() + " is not a text")
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
		return nil, errors.New(f.what() + " is not a mapping")
	}
	return m, nil
}

// what names a value in a message.
func (f *Formula) what() string { return "the expression " + brief(f.text) }

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
