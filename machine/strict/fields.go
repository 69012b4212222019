package strict

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

// FieldInfo describes one key of a struct that Decode fills: what its tags say, for the generated
// reference, the JSON Schema and the command line.
type FieldInfo struct {
	Name     string
	Aliases  []string // other names of the same key
	GoName   string   // of the struct's field, whose comment documents the key
	Type     string   // see Fields
	Required bool
	Default  string   // as it would be written, "" for none
	Min, Max string   // as they would be written, "" for no bound
	Enum     []string // the admitted values, empty for any
	// Fields are the keys of a mapping, of a list's mappings or of a map's mappings. They are left out
	// where a type contains itself.
	Fields []FieldInfo
}

// Fields returns the keys of a struct, or of the struct that target points to, in source order with
// inlined ones in their place. Type is one of string, boolean, integer, number, duration, mapping, any
// (also for types that read themselves), the word of a Described type, or "list of" or "map of" the plural of one of these.
func Fields(target any) []FieldInfo {
	t := reflect.TypeOf(target)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return describe(t, nil)
}

func describe(t reflect.Type, above []reflect.Type) []FieldInfo {
	above = append(slices.Clip(above), t)
	var infos []FieldInfo
	for _, f := range newPlan(t).fields {
		if inner := structOf(f.typ); inner != nil && !slices.Contains(above, inner) {
			f.Fields = describe(inner, above)
		}
		infos = append(infos, f.FieldInfo)
	}
	return infos
}

// structOf finds the struct inside lists, maps and pointers, nil where there is none to describe.
func structOf(t reflect.Type) reflect.Type {
	for {
		switch {
		case readsItself(t) || t == nodeType:
			return nil
		case t.Kind() == reflect.Struct:
			return t
		case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map:
			t = t.Elem()
		default:
			return nil
		}
	}
}

var (
	nodeType        = reflect.TypeFor[*Node]()
	unmarshalerType = reflect.TypeFor[Unmarshaler]()
	durationType    = reflect.TypeFor[Duration]()
	stdDurationType = reflect.TypeFor[time.Duration]()
)

func readsItself(t reflect.Type) bool {
	return t.Implements(unmarshalerType) || reflect.PointerTo(t).Implements(unmarshalerType)
}

func isDuration(t reflect.Type) bool { return t == durationType || t == stdDurationType }

// isRaw tells the types to which null and the empty text are values like any other.
func isRaw(t reflect.Type) bool {
	return t == nodeType || t.Kind() == reflect.Interface && t.NumMethod() == 0
}

// typeWord names a type as operators know it. It panics for a type that Decode cannot fill.
func typeWord(t reflect.Type) string {
	if d, is := reflect.New(t).Interface().(Described); is {
		word, _ := d.Describe()
		return word
	}
	switch {
	case t.Kind() == reflect.Pointer && t != nodeType:
		return typeWord(t.Elem())
	case isRaw(t) || readsItself(t):
		return "any"
	case isDuration(t):
		return "duration"
	}
	switch t.Kind() {
	case reflect.Slice:
		return "list of " + plural(typeWord(t.Elem()))
	case reflect.Map:
		return "map of " + plural(typeWord(t.Elem()))
	case reflect.Struct:
		return "mapping"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	if t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 {
		return "integer"
	}
	panic("strict: cannot decode into " + t.String())
}

func plural(word string) string {
	if word == "any" {
		return "any values"
	}
	first, rest, compound := strings.Cut(word, " ")
	if compound {
		return first + "s " + rest
	}
	return word + "s"
}
