package watchers

import (
	"reflect"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// CodeTemplate is a property whose template cannot be run.
const CodeTemplate diag.Code = "SC250"

// Validator is implemented by a properties struct that has more to check than its tags say. It is asked
// where the keys themselves are right, and may keep what it compiles in the struct.
type Validator interface {
	Validate(w *machine.WatcherSpec) diag.List
}

// KeyIn is the Sets of a type whose looks set the key of data that a property names.
func KeyIn(property string) func(w *machine.WatcherSpec) []string {
	return func(w *machine.WatcherSpec) []string {
		if n := w.Properties.Get(property); n != nil && n.Value != "" {
			return []string{n.Value}
		}
		return nil
	}
}

// Define makes a Type of a properties struct: it decodes them once, strictly, compiles what depends on the look (Formula, Text, Condition and
// Command), lets the struct validate itself, and hands it to prepare. A key that is unknown is an error in
// a strict manifest and a warning in others. Type.Check and Type.Prepare find the same, each with its place.
func Define[S any](t Type, prepare func(spec *S, w *machine.WatcherSpec) *Prepared) Type {
	read := func(w *machine.WatcherSpec) (*S, diag.List) {
		spec := new(S)
		return spec, readProperties(w, spec)
	}
	t.Spec = *new(S)
	t.Expressions = expressionsOf(reflect.TypeFor[S]())
	t.Check = func(w *machine.WatcherSpec) diag.List {
		_, list := read(w)
		return list
	}
	t.Nature = func(w *machine.WatcherSpec) machine.Nature {
		p, list := t.Prepare(w)
		if list.HasErrors() {
			return machine.Nature{}
		}
		return natureOf(p)
	}
	t.Prepare = func(w *machine.WatcherSpec) (*Prepared, diag.List) {
		spec, list := read(w)
		if list.HasErrors() {
			return nil, list
		}
		return prepare(spec, w), list
	}
	return t
}

// natureOf reads off what is prepared of a watcher how it comes to its reports. A Listener waits for others, and what looks at intervals of its
// own accord looks for a change.
func natureOf(p *Prepared) machine.Nature {
	_, listens := p.New().(Listener)
	return machine.Nature{Listens: listens, Repeats: p.Interval > 0, Prompt: !listens && !p.Waits && p.Interval == 0}
}

// expressionsOf returns the keys whose fields are expressions.
func expressionsOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if f := t.Field(i); f.Type == reflect.TypeFor[*Formula]() || f.Type == reflect.TypeFor[*Condition]() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			keys = append(keys, name)
		}
	}
	return keys
}

func readProperties(w *machine.WatcherSpec, spec any) diag.List {
	n := w.Properties
	if n == nil || n.Kind == strict.Null {
		n = &strict.Node{Kind: strict.Mapping, Pos: w.Place("properties")}
	}
	opts := strict.Options{Unknown: diag.Warning, Marked: w.Marked}
	if w.Strict {
		opts.Unknown = diag.Error
	}
	list := strict.Decode(n, spec, opts)
	b := binding{w: w, scope: scopeOf(w)}
	b.fields(reflect.ValueOf(spec).Elem())
	list = append(list, b.list...)
	if w.Marked {
		refuseMarks(reflect.TypeOf(spec).Elem(), "properties", n, &list)
	}
	if v, ok := spec.(Validator); ok && !list.HasErrors() {
		list = append(list, v.Validate(w)...)
	}
	return list.Sort()
}

// refuseMarks refuses marks where none is read: in keys, and in properties that are no slots, which are read with the manifest. It follows the type and
// the source side by side, so that every finding has its place.
func refuseMarks(t reflect.Type, key string, n *strict.Node, list *diag.List) {
	if t.Implements(slotType) || reflect.PointerTo(t).Implements(slotType) || t == reflect.TypeFor[*strict.Node]() {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		refuseMarks(t.Elem(), key, n, list)
		return
	case reflect.Slice:
		for _, item := range n.Items {
			refuseMarks(t.Elem(), key, item, list)
		}
	case reflect.Map:
		for _, f := range n.Fields {
			marks.CheckKey(f, list)
			refuseMarks(t.Elem(), key, f.Value, list)
		}
	case reflect.Struct:
		for i := range t.NumField() {
			refuseMarksIn(t.Field(i), key, n, list)
		}
	}
	if n.Kind == strict.Scalar && marks.Has(n.Value) {
		list.Add(diag.Error, marks.CodeNoMark, n.Pos, "write the value itself", "%s is read with the manifest, and no expression is read there", key)
	}
}

func refuseMarksIn(f reflect.StructField, above string, n *strict.Node, list *diag.List) {
	name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if option == "inline" {
		refuseMarks(f.Type, above, n, list)
		return
	}
	if name == "" || n.Kind != strict.Mapping || f.Tag.Get("language") != "" {
		return
	}
	for _, key := range append([]string{name}, strings.Split(f.Tag.Get("alias"), ",")...) {
		if value := n.Get(key); value != nil {
			refuseMarks(f.Type, key, value, list)
		}
	}
}

const templateHint = `templates look like {{ lookup "facts.os.name" "default" }}; the functions are lookup, Title, ` +
	`Capitalize, ToLower, ToUpper, StringJoin, Base64Encode and Base64Decode; for two braces as they are write {{"{{"}}`

// templateMessage drops what text/template says about the name and line of a template that has none.
func templateMessage(err error) string {
	text := err.Error()
	if _, rest, ok := strings.Cut(text, "template: template:"); ok {
		if _, reason, ok := strings.Cut(rest, ": "); ok {
			return "the template cannot be read: " + reason
		}
	}
	return text
}
