package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

// program is a compiled policy with its query. It is immutable and safe for concurrent use.
type program struct {
	query    string
	version  ast.RegoVersion
	compiler *ast.Compiler
	prepared rego.PreparedEvalQuery // for looks without base documents
}

// problem is what is wrong with a policy or its query.
type problem struct {
	query       bool // it is the query's
	row, column int  // from 1; 0 for the text as a whole
	rows        int  // that the text has
	message     string
	hint        string
}

// String is the message with its row.
func (p problem) String() string {
	if p.row > 1 {
		return fmt.Sprintf("%s (row %d)", p.message, p.row)
	}
	return p.message
}

// compile reads a policy as Rego v1 and, where that is not what it is, as v0. base says that looks bring base documents,
// which the query may ask for as well.
func compile(text, query string, base bool) (*program, []problem) {
	p, problems, parsed := compileAs(ast.RegoV1, text, query, base)
	if len(problems) == 0 {
		return p, nil
	}
	older, olderProblems, olderParsed := compileAs(ast.RegoV0, text, query, base)
	switch {
	case len(olderProblems) == 0:
		return older, nil
	case olderParsed && !parsed:
		return nil, olderProblems
	}
	return nil, problems
}

// compileAs also reports whether the text could be parsed, which tells what it is meant to be.
func compileAs(version ast.RegoVersion, text, query string, base bool) (p *program, problems []problem, parsed bool) {
	err := guarded(func() error {
		module, err := ast.ParseModuleWithOpts("", text, ast.ParserOptions{Capabilities: capabilities(version), RegoVersion: version})
		if err != nil {
			return err
		}
		parsed = true
		compiler := ast.NewCompiler().WithCapabilities(capabilities(version)).WithDefaultRegoVersion(version)
		if compiler.Compile(map[string]*ast.Module{"policy": module}); compiler.Failed() {
			return compiler.Errors
		}
		p = &program{query: query, version: version, compiler: compiler}
		return nil
	})
	if err != nil {
		return nil, problemsOf(err, strings.Count(strings.TrimRight(text, "\n"), "\n")+1), parsed
	}
	if problems = p.prepare(base); len(problems) > 0 {
		return nil, problems, parsed
	}
	return p, nil, parsed
}

// prepare compiles the query against the policy.
func (p *program) prepare(base bool) []problem {
	body, problems := parseQuery(p.query)
	if len(problems) > 0 {
		return problems
	}
	if ref, ok := asked(body); ok && !base && len(p.compiler.GetRules(ref)) == 0 {
		return []problem{{query: true, message: fmt.Sprintf("the policy has no rule %s; its package is %s", ref, p.packageName()),
			hint: "ask for a rule of the policy's package, or correct the package"}}
	}
	err := guarded(func() (err error) {
		p.prepared, err = rego.New(p.options()...).PrepareForEval(context.Background())
		return err
	})
	return queryProblems(err)
}

func (p *program) packageName() string {
	for _, module := range p.compiler.Modules {
		return module.Package.Path.String()
	}
	return ""
}

func (p *program) options() []func(*rego.Rego) {
	return []func(*rego.Rego){
		rego.Compiler(p.compiler), rego.Query(p.query), rego.SetRegoVersion(p.version), rego.Capabilities(p.compiler.Capabilities()),
	}
}

// parseQuery holds a query to one expression, as of several the last would decide alone.
func parseQuery(query string) (ast.Body, []problem) {
	var body ast.Body
	err := guarded(func() (err error) {
		body, err = ast.ParseBodyWithOpts(query, ast.ParserOptions{Capabilities: capabilities(ast.RegoV1), RegoVersion: ast.RegoV1, SkipRules: true})
		return err
	})
	if err == nil && len(body) != 1 {
		err = errors.New("one expression is needed, such as data.statecraft.allow")
	}
	return body, queryProblems(err)
}

// asked is the document that a query asks for, where it is nothing but that.
func asked(body ast.Body) (ast.Ref, bool) {
	term, ok := body[0].Terms.(*ast.Term)
	if !ok || body[0].Negated || len(body[0].With) > 0 {
		return nil, false
	}
	ref, ok := term.Value.(ast.Ref)
	return ref, ok && ref.HasPrefix(ast.DefaultRootRef) && ref.IsGround()
}

func queryProblems(err error) []problem {
	problems := problemsOf(err, 1)
	for i := range problems {
		problems[i].query = true
	}
	return problems
}

// problemsOf takes the library's errors apart. A nil error is no problem.
func problemsOf(err error, rows int) []problem {
	var many ast.Errors
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &many):
		return []problem{{message: firstLine(err.Error()), rows: rows, hint: hintFor(err.Error())}}
	}
	var problems []problem
	for _, e := range many {
		p := problem{message: firstLine(e.Message), rows: rows, hint: hintFor(e.Message)}
		if e.Location != nil {
			p.row, p.column = e.Location.Row, e.Location.Col
		}
		problems = append(problems, p)
	}
	return problems
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return text
}

// guarded turns a panic of the library, which no policy may cause in the host, into an error.
func guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError{value: r}
		}
	}()
	return f()
}

// panicError is what the library panicked with.
type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("its evaluation broke down: %v", e.value) }
