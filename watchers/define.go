package watchers

import (
	"reflect"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// CodeTemplate is a property whose template cannot be run.
const CodeTemplate diag.Code = "SC250"

// Validator is implemented by a properties struct that has more to check than its tags say. It is asked
// where the keys themselves are right, and may keep what it compiles in the struct.
type Validator interface {
	Validate(w *machine.WatcherSpec) diag.List
}

// Define makes a Type of a properties struct: it decodes them once, strictly, checks the templates of the
// fields tagged so, lets the struct validate itself, and hands it to prepare. A key that is unknown is an error in
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
		if f := t.Field(i); f.Type == reflect.TypeFor[*Formula]() {
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
	opts := strict.Options{Unknown: diag.Warning}
	if w.Strict {
		opts.Unknown = diag.Error
	}
	list := strict.Decode(n, spec, opts)
	checkTemplates(reflect.TypeOf(spec).Elem(), n, &list)
	checkFormulas(reflect.ValueOf(spec).Elem(), n, &list)
	if v, ok := spec.(Validator); ok && !list.HasErrors() {
		list = append(list, v.Validate(w)...)
	}
	return list.Sort()
}

// checkTemplates follows the type and the source side by side, so that every finding has its place.
func checkTemplates(t reflect.Type, n *strict.Node, list *diag.List) {
	switch t.Kind() {
	case reflect.Pointer:
		checkTemplates(t.Elem(), n, list)
	case reflect.Slice:
		for _, item := range n.Items {
			checkTemplates(t.Elem(), item, list)
		}
	case reflect.Map:
		for _, f := range n.Fields {
			checkTemplates(t.Elem(), f.Value, list)
		}
	case reflect.Struct:
		for i := range t.NumField() {
			checkTemplateField(t.Field(i), n, list)
		}
	}
}

func checkTemplateField(f reflect.StructField, n *strict.Node, list *diag.List) {
	name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if option == "inline" {
		checkTemplates(f.Type, n, list)
		return
	}
	if name == "" || n.Kind != strict.Mapping {
		return
	}
	for _, key := range append([]string{name}, strings.Split(f.Tag.Get("alias"), ",")...) {
		value := n.Get(key)
		switch {
		case value == nil:
		case f.Tag.Get("template") == "true":
			checkTexts(key, value, list)
		default:
			checkTemplates(f.Type, value, list)
		}
	}
}

// checkTexts checks every text of a property: itself, the entries of a list, the values of a mapping.
func checkTexts(key string, n *strict.Node, list *diag.List) {
	if n.Kind == strict.Scalar {
		if err := machine.CheckTemplate(n.Value); err != nil {
			list.Add(diag.Error, CodeTemplate, n.Pos, templateHint, "%s: %s", key, templateMessage(err))
		}
	}
	for _, item := range n.Items {
		checkTexts(key, item, list)
	}
	for _, f := range n.Fields {
		checkTexts(f.Key, f.Value, list)
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
