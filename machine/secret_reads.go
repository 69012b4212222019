package machine

import (
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// readsOf returns the paths that an expression reads from what it sees, such as data.token or event.payload.body. A path ends
// where the expression goes on by something that only its evaluation knows. It is nil for a text that is no expression.
func readsOf(text string) []secretPath {
	tree, err := protect(func() (*parser.Tree, error) { return parser.Parse(text) })
	if err != nil {
		return nil
	}
	r := reads{paths: map[ast.Node]secretPath{}}
	ast.Walk(&tree.Node, &r)
	var out []secretPath
	for _, p := range r.paths {
		out = append(out, p)
	}
	slices.SortFunc(out, slices.Compare)
	return out
}

// reads collects the longest paths, as a visitor of the expression library: inner nodes come before those around them.
type reads struct{ paths map[ast.Node]secretPath }

// Visit implements the library's visitor.
func (r *reads) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == "data" || n.Value == "input" || n.Value == "event" {
			r.paths[n] = secretPath{n.Value}
		}
	case *ast.MemberNode:
		name, constant := n.Property.(*ast.StringNode)
		if base, ok := r.paths[n.Node]; ok && constant {
			delete(r.paths, n.Node)
			r.paths[n] = append(slices.Clone(base), name.Value)
		}
	case *ast.ChainNode:
		if p, ok := r.paths[n.Node]; ok {
			delete(r.paths, n.Node)
			r.paths[n] = p
		}
	}
}

// payloadPath returns the part of a read path that is within the event's payload, false where it reads nothing of it.
func (p secretPath) payloadPath() (secretPath, bool) {
	switch {
	case p[0] != "event":
		return nil, false
	case len(p) == 1:
		return secretPath{}, true
	default:
		return p[2:], p[1] == "payload"
	}
}

// inputPath returns the part of a read path that is within the input.
func (p secretPath) inputPath() (secretPath, bool) { return p[1:], p[0] == "input" }
