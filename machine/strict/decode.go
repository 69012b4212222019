package strict

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// Decode fills target, a pointer, usually to a struct whose fields carry tags:
// `yaml:"name"` (with ",required"), `yaml:",inline"` for a struct whose keys stand among the others,
// `alias:"other"`, `default:"10s"`, `min:"500ms"`, `max:"..."` (of durations and numbers),
// `enum:"poll|watch"`.
// Fields without a yaml tag are left alone, as are optional ones without a default that are not written.
//
// An optional key that is null or the empty text counts as not written, except where the field is of
// type any or *Node, and where the tag `empty:"refused"` says that it would be taken for a bound or a condition:
// with Unknown errors that is an error. Booleans and numbers may be quoted; whatever a plain scalar looks like, a string field
// takes its text as written. The bounds and enum of a list or map hold for each of its values. A nil or
// Null node is an empty mapping to a struct.
//
// All problems are returned, each with the place of the key or value. It panics where target's own
// type or tags are wrong.
func Decode(n *Node, target any, opts Options) diag.List {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic(fmt.Sprintf("strict: cannot decode into %T", target))
	}
	if n == nil {
		n = &Node{}
	}
	d := &decoder{opts: opts, plans: map[reflect.Type]*plan{}}
	if n.Kind == Null && v.Elem().Kind() == reflect.Struct {
		n = &Node{Kind: Mapping, Pos: n.Pos}
	}
	d.value(n, v.Elem(), &FieldInfo{Name: "the value"})
	return d.list.Sort()
}

// decoder carries one call of Decode.
type decoder struct {
	opts  Options
	list  diag.List
	plans map[reflect.Type]*plan
}

// value fills v from n. key is the nearest key above, whose rules apply.
func (d *decoder) value(n *Node, v reflect.Value, key *FieldInfo) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	if n.Kind == Null && !isRaw(v.Type()) {
		d.fail(CodeNoValue, n.Pos, "write a value or remove the entry", "%s: there is no value", key.Name)
		return
	}
	if u, ok := v.Addr().Interface().(Described); ok {
		if _, scalar := u.Describe(); scalar && !d.shape(n, Scalar, v, key) {
			return
		}
	}
	if u, ok := v.Addr().Interface().(Unmarshaler); ok {
		d.list = append(d.list, u.UnmarshalNode(n, d.opts)...)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), key)
	case reflect.Interface:
		if x := n.Any(); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.Struct:
		if d.shape(n, Mapping, v, key) {
			d.structure(n, v)
		}
	case reflect.Slice:
		if d.shape(n, Sequence, v, key) {
			d.sequence(n, v, key)
		}
	case reflect.Map:
		if d.shape(n, Mapping, v, key) {
			d.mapping(n, v, key)
		}
	default:
		if d.shape(n, Scalar, v, key) {
			d.scalar(n, v, key)
		}
	}
}

// shape reports a value of another kind than v needs.
func (d *decoder) shape(n *Node, want Kind, v reflect.Value, key *FieldInfo) bool {
	if n.Kind == want {
		return true
	}
	word := typeWord(v.Type())
	d.fail(CodeShape, n.Pos, shapeHint(n, want), "%s: expected %s, found %s", key.Name, article(word), kindWord(n.Kind))
	return false
}

func shapeHint(n *Node, want Kind) string {
	switch {
	case want == Sequence && n.Kind == Scalar:
		return "write a list: [" + entry(n.Value) + "]"
	case want == Sequence:
		return `start each entry with "- "`
	case want == Mapping:
		return `write keys and values, such as "key: value"`
	default:
		return "write one value, in quotes if it holds special characters"
	}
}

var plainWord = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./-]*$`)

// entry renders text as it can stand in a list.
func entry(s string) string {
	if plainWord.MatchString(s) {
		return brief(s)
	}
	return strconv.Quote(brief(s))
}

func (d *decoder) sequence(n *Node, v reflect.Value, key *FieldInfo) {
	items := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		d.value(item, items.Index(i), key)
	}
	v.Set(items)
}

func (d *decoder) mapping(n *Node, v reflect.Value, key *FieldInfo) {
	m := reflect.MakeMapWithSize(v.Type(), len(n.Fields))
	for _, f := range n.Fields {
		value := reflect.New(v.Type().Elem()).Elem()
		entry := *key
		entry.Name = brief(f.Key)
		d.value(f.Value, value, &entry)
		m.SetMapIndex(reflect.ValueOf(f.Key).Convert(v.Type().Key()), value)
	}
	v.Set(m)
}

func kindWord(k Kind) string {
	switch k {
	case Scalar:
		return "a single value"
	case Sequence:
		return "a list"
	case Mapping:
		return "a mapping"
	default:
		return "nothing"
	}
}

func article(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) {
		return "an " + word
	}
	return "a " + word
}

func (d *decoder) fail(code diag.Code, at diag.Position, hint, format string, args ...any) {
	d.list.Add(diag.Error, code, at, hint, format, args...)
}
