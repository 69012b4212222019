// Package strict reads YAML documents into Go values without guessing: every value keeps its place,
// unknown keys are named with the nearest known one, and all problems are reported at once.
//
// It is the only importer of the YAML library in the project. It never reads files and never
// executes anything.
package strict

import (
	"github.com/statecraft-io/statecraft/machine/diag"
)

// Kind is the shape of a node.
type Kind uint8

// The kinds of node.
const (
	Null Kind = iota
	Scalar
	Sequence
	Mapping
)

// Node is one value of a document, with its place. Nodes are immutable after Parse.
type Node struct {
	Kind Kind
	Pos  diag.Position
	// Value is a scalar's text as written, without quotes.
	Value string
	// Quoted tells "8080" from 8080. Block scalars and values tagged !!str count as quoted.
	Quoted bool
	Items  []*Node // of a Sequence
	Fields []Field // of a Mapping, in source order, keys unique
}

// Field is one key of a mapping.
type Field struct {
	Key   string
	Pos   diag.Position // of the key
	Value *Node
}

// Options say how strictly to decode.
type Options struct {
	// Unknown is the severity of a key that the target does not have.
	Unknown diag.Severity
	// Marked is for targets that read themselves: expressions in values are marked.
	Marked bool
}

// Unmarshaler is implemented by targets that read themselves, such as a key that takes two shapes.
// It is not called for keys that are absent, null or empty. An implementation that calls Decode must
// hand it another type than its own.
type Unmarshaler interface {
	UnmarshalNode(n *Node, opts Options) diag.List
}

// Described is implemented by Unmarshalers that documentation has a word for, and of which some take a single value only: lists and mappings are then
// refused before they are asked.
type Described interface {
	Unmarshaler
	Describe() (word string, scalar bool)
}

// Get returns the value of a mapping's key, nil where there is none. It may be called on nil.
func (n *Node) Get(key string) *Node {
	if n == nil {
		return nil
	}
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			return n.Fields[i].Value
		}
	}
	return nil
}
