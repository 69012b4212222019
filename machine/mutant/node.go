package mutant

import (
	"encoding/json"
	"slices"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// textOf is the text of a scalar, "" of anything else.
func textOf(n *strict.Node) string {
	if n == nil || n.Kind != strict.Scalar {
		return ""
	}
	return n.Value
}

func itemsOf(n *strict.Node) []*strict.Node {
	if n == nil {
		return nil
	}
	return n.Items
}

func fieldsOf(n *strict.Node) []strict.Field {
	if n == nil {
		return nil
	}
	return n.Fields
}

// text is a scalar that says something else.
func text(n *strict.Node, value string) *strict.Node {
	return &strict.Node{Kind: strict.Scalar, Pos: n.Pos, Value: value, Quoted: true}
}

// misspelt is a name that is typed once too often.
func misspelt(name string) string { return name + name[len(name)-1:] }

func without(n *strict.Node, key string) *strict.Node {
	c := *n
	c.Fields = slices.DeleteFunc(slices.Clone(n.Fields), func(f strict.Field) bool { return f.Key == key })
	return &c
}

func renamed(n *strict.Node, key, name string) *strict.Node {
	c := *n
	c.Fields = slices.Clone(n.Fields)
	for i := range c.Fields {
		if c.Fields[i].Key == key {
			c.Fields[i].Key = name
		}
	}
	return &c
}

// with has another value for a key.
func with(n *strict.Node, key string, value *strict.Node) *strict.Node {
	c := without(n, key)
	c.Fields = append(c.Fields, strict.Field{Key: key, Pos: n.Pos, Value: value})
	return c
}

func withoutItem(n *strict.Node, i int) *strict.Node {
	c := *n
	c.Items = slices.Delete(slices.Clone(n.Items), i, i+1)
	return &c
}

func withItem(n *strict.Node, i int, item *strict.Node) *strict.Node {
	c := *n
	c.Items = slices.Insert(slices.Clone(n.Items), i, item)
	return &c
}

// encoder writes a document, with another node in the place of one.
type encoder struct {
	target, instead *strict.Node
	out             []byte
}

func (e *encoder) value(n *strict.Node) {
	if n == e.target && e.instead != nil {
		n = e.instead
	}
	switch n.Kind {
	case strict.Mapping:
		e.out = append(e.out, '{')
		for i, f := range n.Fields {
			e.separate(i)
			e.quote(f.Key)
			e.out = append(e.out, ": "...)
			e.value(f.Value)
		}
		e.out = append(e.out, '}')
	case strict.Sequence:
		e.out = append(e.out, '[')
		for i, item := range n.Items {
			e.separate(i)
			e.value(item)
		}
		e.out = append(e.out, ']')
	case strict.Scalar:
		if _, isText := n.Any().(string); isText {
			e.quote(n.Value)
		} else {
			e.out = append(e.out, n.Value...)
		}
	default:
		e.out = append(e.out, "null"...)
	}
}

func (e *encoder) separate(i int) {
	if i > 0 {
		e.out = append(e.out, ",\n"...)
	}
}

func (e *encoder) quote(s string) {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("mutant: a text cannot be quoted: " + err.Error())
	}
	e.out = append(e.out, quoted...)
}
