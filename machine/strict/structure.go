package strict

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// structure fills a struct from a mapping.
func (d *decoder) structure(n *Node, v reflect.Value) {
	p := d.plan(v.Type())
	given := make([]*Field, len(p.fields))
	for i := range n.Fields {
		f := &n.Fields[i]
		at, ok := p.index[f.Key]
		switch {
		case !ok:
			d.list.Add(d.opts.Unknown, CodeUnknownKey, f.Pos, unknownHint(f.Key, p), "unknown key %q", brief(f.Key))
		case given[at] != nil:
			d.fail(CodeTwoNames, f.Pos, "remove one of them", "%q is another name of %q, which is given on line %d",
				f.Key, given[at].Key, given[at].Pos.Line)
		default:
			given[at] = f
		}
	}
	for i := range p.fields {
		d.field(n, given[i], &p.fields[i], v)
	}
}

func (d *decoder) plan(t reflect.Type) *plan {
	p, ok := d.plans[t]
	if !ok {
		p = newPlan(t)
		d.plans[t] = p
	}
	return p
}

// unknownHint names what was probably meant, else all keys where they are few enough to read.
func unknownHint(key string, p *plan) string {
	const readable = 12
	if near := Nearest(key, p.names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(p.fields) == 0 {
		return "there are no keys here; remove it"
	}
	if len(p.fields) > readable {
		return "remove it"
	}
	names := make([]string, len(p.fields))
	for i := range p.fields {
		names[i] = p.fields[i].Name
	}
	return "known keys: " + strings.Join(names, ", ")
}

// field fills one field of the struct v from its key, given is nil where it is not written.
func (d *decoder) field(n *Node, given *Field, f *field, v reflect.Value) {
	switch {
	case given != nil && !absent(given.Value, f):
		d.value(given.Value, v.FieldByIndex(f.path), &f.FieldInfo)
	case f.Required && given == nil:
		d.fail(CodeMissingKey, n.Pos, fmt.Sprintf("add %q", f.Name+": ..."), "the key %q is missing", f.Name)
	case f.Required:
		d.fail(CodeNoValue, given.Value.Pos, "write "+article(f.Type), "%s: there is no value", f.Name)
	case given != nil && f.whole && d.opts.Unknown == diag.Error:
		d.fail(CodeNoValue, given.Value.Pos, "write a value, or remove the key", "%s: there is no value: it would bound or ask for nothing", f.Name)
	case f.Default != "":
		d.setDefault(v.FieldByIndex(f.path), f)
	}
}

// absent follows Choria, where an optional property may be an empty string.
func absent(n *Node, f *field) bool {
	if isRaw(f.typ) {
		return n.Kind == Null && f.Required
	}
	return n.Kind == Null || n.Kind == Scalar && n.Value == ""
}

func (d *decoder) setDefault(v reflect.Value, f *field) {
	own := &decoder{opts: d.opts, plans: d.plans}
	own.value(&Node{Kind: Scalar, Value: f.Default}, v, &f.FieldInfo)
	if err := own.list.Err(); err != nil {
		panic("strict: default of " + f.GoName + ": " + err.Error())
	}
}
