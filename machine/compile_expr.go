package machine

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/types"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// The codes of expression problems.
const (
	codeExpr      diag.Code = "SC301" // an expression that does not compile
	codeExprField diag.Code = "SC302" // an expression that reads a name that does not exist
	codeSetKey    diag.Code = "SC303" // set writes a data key that is not declared
	codeSetType   diag.Code = "SC304" // set writes a value that its key cannot hold
)

// compileExpressions compiles every guard, assignment and watcher's when, and reports all that cannot work.
func (d *Definition) compileExpressions(cat Catalogue) diag.List {
	c := exprCompiler{d: d, data: d.dataType(), payloads: d.payloads(cat)}
	for i := range d.rules {
		c.rule(&d.rules[i], &d.Manifest.Transitions[i])
	}
	for i := range d.watchers {
		w := &d.Manifest.Watchers[i]
		if w.When != "" {
			d.watchers[i].when = c.guard(w.When, w.Place("when"), c.watcherTypes())
		}
	}
	return c.list
}

type exprCompiler struct {
	d        *Definition
	data     types.Map
	payloads map[string]types.Type // event -> the type of its payload
	list     diag.List
}

func (c *exprCompiler) rule(r *rule, t *Transition) {
	env := c.ruleTypes(t.Name)
	if t.When != "" {
		r.when = c.guard(t.When, t.place("when"), env)
	}
	for _, a := range t.Set {
		c.checkKey("set", a.Key, a.Pos)
		r.set = append(r.set, c.assignment(a, env))
	}
	for _, a := range t.Clear {
		c.checkKey("clear", a.Key, a.Pos)
		r.set = append(r.set, assignment{key: a.Key, value: &marks.Value{Literal: c.d.defaults[a.Key]}})
	}
}

func (c *exprCompiler) compile(text string, at diag.Position, env types.Map, opts ...expr.Option) *expression {
	e := compileExpr(text, env, opts...)
	if e.err != nil {
		c.report(e.err, text, at, env)
	}
	return e
}

// checkKey refuses assignments to keys that are not declared, where the manifest's reading is strict.
func (c *exprCompiler) checkKey(by, key string, at diag.Position) {
	if _, ok := c.d.types[key]; ok || !c.d.closedData() {
		return
	}
	keys := slices.Sorted(maps.Keys(c.d.types))
	c.list.Add(diag.Error, codeSetKey, at, hintFor(key, keys, "declare it under data"),
		"%s writes data key %q, which is not declared", by, key)
}

var unknownName = regexp.MustCompile(`^unknown (?:name|field) (\S+)`)

func (c *exprCompiler) report(err error, text string, at diag.Position, env types.Map) {
	message := exprMessage(err)
	m := unknownName.FindStringSubmatch(message)
	switch {
	case m == nil:
		c.list.Add(diag.Error, codeExpr, at, c.seenHint(), "expression %q: %s", text, message)
	case slices.Contains(impureNames(), m[1]):
		c.list.Add(diag.Error, codeExprField, at, "use at, the time of the record; a replay must read what the machine read",
			"expression %q: %s is not deterministic and is off", text, m[1])
	default:
		hint := hintFor(m[1], namesIn(env), c.seenHint()+"; data keys are declared under data")
		c.list.Add(diag.Error, codeExprField, at, hint, "expression %q: %s", text, message)
	}
}

func impureNames() []string {
	return []string{"now", "timezone", "keys", "values", "toPairs", "Local"}
}

func hintFor(word string, candidates []string, otherwise string) string {
	if near := strict.Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return otherwise
}

// namesIn lists the names of an environment and of the maps in it.
func namesIn(env types.Map) []string {
	var names []string
	for name, t := range env {
		if name == types.Extra {
			continue
		}
		names = append(names, name)
		if m, ok := t.(types.Map); ok {
			names = append(names, namesIn(m)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// declared returns the types of data where nothing but what is declared can be in it, nil otherwise.
func (m *Manifest) declared() map[string]ValueType {
	if !m.Strict() || len(m.Data) == 0 {
		return nil
	}
	types := make(map[string]ValueType, len(m.Data))
	for _, f := range m.Data {
		types[f.Name] = f.Type
	}
	return types
}

// closedData reports whether only declared keys exist.
func (d *Definition) closedData() bool { return d.Manifest.Strict() && len(d.types) > 0 }

func (d *Definition) dataType() types.Map {
	m := types.Map{}
	if !d.closedData() {
		m[types.Extra] = types.Any
	}
	for key, t := range d.types {
		m[key] = t.ExprType()
	}
	return m
}

func (c *exprCompiler) watcherTypes() types.Map {
	env := types.Map{
		"data": c.data, "input": types.Map{types.Extra: types.Any}, "instance": types.String,
		"state": types.String, "at": types.TypeOf(time.Time{}),
	}
	if c.d.Manifest.Marked() { // in older manifests it may be the name of a variable
		env["machine"] = types.String
	}
	return env
}

func (c *exprCompiler) ruleTypes(event string) types.Map {
	env := c.watcherTypes()
	payload, known := c.payloads[event]
	if !known {
		payload = types.Map{types.Extra: types.Any}
	}
	env["event"] = types.Map{"name": types.String, "outcome": types.String, "message": types.String, "payload": payload}
	return env
}

// payloads returns, for the events whose payload is declared by every watcher that fires them, the fields
// that any of them has. Events that a watcher of unknown type fires are left out.
func (d *Definition) payloads(cat Catalogue) map[string]types.Type {
	fields := map[string]map[string]ValueType{}
	open := map[string]bool{}
	for i := range d.Manifest.Watchers {
		w := &d.Manifest.Watchers[i]
		_, known := findType(w, cat)
		for _, o := range outcomesOf(w, cat) {
			event := d.EventFor(i, o.Name)
			open[event] = open[event] || !known
			fields[event] = union(fields[event], o.Payload)
		}
	}
	out := map[string]types.Type{}
	for event, f := range fields {
		if len(f) > 0 && !open[event] {
			out[event] = d.payloadType(f)
		}
	}
	return out
}

func (d *Definition) payloadType(fields map[string]ValueType) types.Map {
	m := types.Map{}
	if !d.Manifest.Strict() {
		m[types.Extra] = types.Any
	}
	for name, t := range fields {
		m[name] = t.ExprType()
	}
	return m
}

// union adds fields; one that two outcomes declare differently can be anything.
func union(to, from map[string]ValueType) map[string]ValueType {
	if to == nil {
		to = map[string]ValueType{}
	}
	for name, t := range from {
		if old, ok := to[name]; ok && old != t {
			t = Any
		}
		to[name] = t
	}
	return to
}

// ExprType is the type as the expression library has it.
func (t ValueType) ExprType() types.Type {
	switch t {
	case String:
		return types.String
	case Integer:
		return types.Int
	case Number:
		return types.Float64
	case Boolean:
		return types.Bool
	case Array:
		return types.TypeOf([]any{})
	case Object:
		return types.Map{types.Extra: types.Any}
	default:
		return types.Any
	}
}

// canHold reports whether a key of a declared type may hold results of a Go type. Whole numbers are one
// thing in JSON, so that a float result may still be an integer: that is decided when it is evaluated.
func canHold(want ValueType, got reflect.Type) bool {
	switch got.Kind() {
	case reflect.String:
		return want == String || want == Any
	case reflect.Bool:
		return want == Boolean || want == Any
	case reflect.Int, reflect.Float64:
		return want == Integer || want == Number || want == Any
	case reflect.Slice:
		return want == Array || want == Any
	case reflect.Map:
		return want == Object || want == Any
	case reflect.Struct:
		return got == reflect.TypeFor[time.Time]() && (want == String || want == Any)
	default:
		return got.Kind() == reflect.Interface
	}
}

// goTypeName is the manifest's word for a Go type.
func goTypeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "an object"
	default:
		return strings.TrimPrefix(t.String(), "time.")
	}
}
