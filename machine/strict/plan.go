package strict

import (
	"reflect"
	"strings"
)

// plan is what the tags of a struct say.
type plan struct {
	fields []field
	index  map[string]int // name or alias to fields
	names  []string       // as in index, in source order
}

type field struct {
	FieldInfo
	path  []int // for reflect.Value.FieldByIndex
	typ   reflect.Type
	whole bool // written, it has a value: empty does not count as not written
}

func newPlan(t reflect.Type) *plan {
	if t.Kind() != reflect.Struct {
		panic("strict: not a struct: " + t.String())
	}
	p := &plan{index: map[string]int{}}
	p.collect(t, nil)
	for i, f := range p.fields {
		for _, name := range append([]string{f.Name}, f.Aliases...) {
			if _, twice := p.index[name]; twice {
				panic("strict: " + t.String() + " has two fields for the key " + name)
			}
			p.index[name] = i
			p.names = append(p.names, name)
		}
	}
	return p
}

func (p *plan) collect(t reflect.Type, above []int) {
	for i := range t.NumField() {
		sf := t.Field(i)
		path := append(above[:len(above):len(above)], i)
		name, option, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		switch {
		case option == "inline":
			p.collect(sf.Type, path)
		case name != "" && name != "-":
			p.fields = append(p.fields, newField(sf, path, name, option == "required"))
		}
	}
}

func newField(sf reflect.StructField, path []int, name string, required bool) field {
	if !sf.IsExported() {
		panic("strict: the field of the key " + name + " is not exported")
	}
	return field{path: path, typ: sf.Type, whole: sf.Tag.Get("empty") == "refused", FieldInfo: FieldInfo{
		Name:     name,
		GoName:   sf.Name,
		Type:     typeWord(sf.Type),
		Required: required,
		Aliases:  list(sf.Tag.Get("alias"), ","),
		Enum:     list(sf.Tag.Get("enum"), "|"),
		Default:  sf.Tag.Get("default"),
		Min:      sf.Tag.Get("min"),
		Max:      sf.Tag.Get("max"),
	}}
}

func list(s, separator string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, separator)
}
