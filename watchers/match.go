package watchers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// Matched is what a match expression comes to for a node.
type Matched uint8

// The results. Unknown is an expression that cannot be answered at the moment, such as one about a fact that is not there: it neither
// brings anything nor takes it away.
const (
	Unknown Matched = iota
	Yes
	No
)

// String is one word.
func (m Matched) String() string { return [...]string{"unknown", "yes", "no"}[m] }

// maxProbes is how often one evaluation may look at the file system.
const maxProbes = 100

// maxPattern bounds a regular expression in bytes: compiling one takes time.
const maxPattern = 1000

var (
	errNoFact   = errors.New("there is no such fact")
	errProbes   = fmt.Errorf("it looks for more than %d files, directories and commands", maxProbes)
	errPattern  = fmt.Errorf("a pattern has more than %d bytes", maxPattern)
	errNotHere  = errors.New("only the node itself can tell")
	errNoAnswer = errors.New("the expression is neither true nor false")
)

// memberName is the call that takes the place of navigation in facts, which may not be written in an expression: a fact that is
// not there has no answer, while the library gives nil, which equals no text.
const memberName = "#member"

// Match is a compiled match expression: which nodes something is for. It has Choria's functions identity(regex), get_fact(path),
// has_file(path), has_directory(path) and has_command(name), and facts to navigate in. get_fact(path, other) gives other, and
// facts?.path gives nil, where there is no such fact; without them that has no answer. It is immutable and safe for concurrent use.
type Match struct{ program *vm.Program }

// CompileMatch compiles a match expression; "" is every node.
func CompileMatch(text string) (*Match, error) {
	if text == "" {
		return &Match{}, nil
	}
	called := types.TypeOf(func(...any) (any, error) { return nil, nil })
	probe := types.TypeOf(func(string) (bool, error) { return false, nil })
	opts := append([]expr.Option{
		expr.Env(types.Map{
			"facts": types.TypeOf(map[string]any{}), "identity": probe, "has_file": probe, "has_directory": probe, "has_command": probe,
			"get_fact": types.TypeOf(func(string, ...any) (any, error) { return nil, nil }), memberName: called, chargeName: called,
		}),
		expr.AsBool(), expr.DisableBuiltin("now"), expr.DisableBuiltin("timezone"), expr.Patch(strictFacts{}),
	}, expressionBounds()...)
	program, err := guarded(func() (*vm.Program, error) { return expr.Compile(text, opts...) })
	if err != nil {
		return nil, errors.New(expressionMessage(err))
	}
	return &Match{program}, nil
}

// For holds a node against the expression: the identity and facts of the look. The error says why the result is unknown. It ends soon after ctx.
func (m *Match) For(ctx context.Context, look *Look) (Matched, error) {
	if m.program == nil {
		return Yes, nil
	}
	v, err := evaluate(m.program, newProbing(ctx, look).env())
	if err != nil {
		return Unknown, errors.New(expressionMessage(err))
	}
	switch v {
	case true:
		return Yes, nil
	case false:
		return No, nil
	default:
		return Unknown, errNoAnswer
	}
}

// ForIdentity is what the name of a node alone comes to, for who is not that node: Unknown where its facts or files would be asked.
func (m *Match) ForIdentity(identity string) Matched {
	if m.program == nil {
		return Yes
	}
	env := newProbing(context.Background(), &Look{Identity: identity, Facts: new(Facts)}).env()
	env["get_fact"] = func(string, ...any) (any, error) { return nil, errNotHere }
	env[memberName] = func(...any) (any, error) { return nil, errNotHere }
	for _, name := range []string{"has_file", "has_directory", "has_command"} {
		env[name] = func(string) (bool, error) { return false, errNotHere }
	}
	switch v, err := evaluate(m.program, env); {
	case err != nil:
		return Unknown
	case v == true:
		return Yes
	case v == false:
		return No
	}
	return Unknown
}

// strictFacts makes calls of all navigation: there is nothing but facts to navigate in.
type strictFacts struct{}

// Visit implements the library's visitor, which comes from the inside out.
func (strictFacts) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.MemberNode); ok {
		ast.Patch(node, &ast.CallNode{
			Callee:    &ast.IdentifierNode{Value: memberName},
			Arguments: []ast.Node{n.Node, n.Property, &ast.BoolNode{Value: n.Optional}},
		})
	}
}

// member is one step of navigation.
func member(args ...any) (any, error) {
	optional, _ := args[2].(bool)
	var v any
	found := false
	switch of := args[0].(type) {
	case map[string]any:
		if key, ok := args[1].(string); ok {
			v, found = of[key]
		}
	case []any:
		if i, ok := args[1].(int); ok && -len(of) <= i && i < len(of) {
			v, found = of[(i+len(of))%len(of)], true
		}
	}
	if !found && !optional {
		return nil, fmt.Errorf("%w: %v", errNoFact, args[1])
	}
	return v, nil
}

// probing is one evaluation.
type probing struct {
	ctx    context.Context
	look   *Look
	left   int
	charge func(args ...any) (any, error)
}

func newProbing(ctx context.Context, look *Look) *probing {
	return &probing{ctx: ctx, look: look, left: maxProbes, charge: newCharge()}
}

// env is what the expression sees.
func (p *probing) env() map[string]any {
	return map[string]any{
		"facts": p.look.Facts.Map(), "identity": p.identity, "get_fact": p.fact, memberName: member,
		"has_file":      p.probe(func(name string) bool { info, err := os.Stat(name); return err == nil && info.Mode().IsRegular() }),
		"has_directory": p.probe(func(name string) bool { info, err := os.Stat(name); return err == nil && info.IsDir() }),
		"has_command":   p.probe(func(name string) bool { _, err := exec.LookPath(name); return err == nil }),
		chargeName: func(args ...any) (any, error) {
			if err := p.ctx.Err(); err != nil {
				return nil, err
			}
			return p.charge(args...)
		},
	}
}

func (p *probing) identity(pattern string) (bool, error) {
	if len(pattern) > maxPattern {
		return false, errPattern
	}
	matching, err := regexp.Compile(pattern)
	if err != nil {
		return false, err
	}
	return matching.MatchString(p.look.Identity), nil
}

func (p *probing) fact(path string, other ...any) (any, error) {
	v, found := p.look.Facts.Get(path)
	switch {
	case found:
		return v, nil
	case len(other) > 0:
		return other[0], nil
	}
	return nil, fmt.Errorf("%w: %s", errNoFact, brief(path))
}

func (p *probing) probe(holds func(name string) bool) func(string) (bool, error) {
	return func(name string) (bool, error) {
		if p.left--; p.left < 0 {
			return false, errProbes
		}
		if err := p.ctx.Err(); err != nil {
			return false, err
		}
		return holds(name), nil
	}
}
