package watchers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// MaxQuestion is the longest question, in bytes.
const MaxQuestion = 4096

// maxQuestionMemory bounds the elements that one evaluation makes. Less than a manifest's expression has: questions come from clients, and
// several are evaluated at once.
const maxQuestionMemory = 100_000

// The names of what a question reads by calls that cannot be written in one.
const (
	readName  = "#read"
	stepName  = "#step"
	weighName = "#weigh"
	nowName   = "#now"
)

// Question is a compiled condition on JSON documents, which a client has written. It sees identity (a text), last_seen (a time), digest (a
// text), the members of the document that CompileQuestion was told, get_fact(path) and now(). What a document does not have is nil, which as
// a whole condition is false, and a name that is not there as it is written is looked for in another case. It is immutable and safe for concurrent use.
type Question struct {
	program *vm.Program
	paths   []Path // that it reads, by what readName is given
}

// About is what a question is asked about.
type About struct {
	Identity string
	LastSeen time.Time
	Digest   string
	Document *Document
}

// CompileQuestion compiles a question over documents with these members. Its errors name the place.
func CompileQuestion(text string, members []string) (*Question, error) {
	if len(text) > MaxQuestion {
		return nil, fmt.Errorf("the condition has %d bytes; %d is the limit", len(text), MaxQuestion)
	}
	program, err := guarded(func() (*Question, error) { return compileQuestion(text, members) })
	if err != nil {
		return nil, errors.New(expressionMessage(err))
	}
	return program, nil
}

func compileQuestion(text string, members []string) (*Question, error) {
	if err := checkQuestion(text); err != nil {
		return nil, err
	}
	call := types.TypeOf(func(...any) any { return nil })
	seen := types.Map{
		"identity": types.TypeOf(""), "last_seen": types.TypeOf(time.Time{}), "digest": types.TypeOf(""), nowName: types.TypeOf(time.Time{}),
		"get_fact": call, readName: call, stepName: call, memberName: call, weighName: call, chargeName: call,
	}
	for _, name := range members {
		seen[name] = types.Any
	}
	patch := newQuestionPatch(members)
	program, err := expr.Compile(text, append(questionBounds(), expr.Env(seen), expr.AsBool(), expr.Patch(patch))...)
	if patch.err != nil {
		return nil, patch.err
	}
	if err != nil {
		return nil, err
	}
	return &Question{program: program, paths: patch.paths}, nil
}

// Asking evaluates a question for one document after the other. One goroutine uses it.
type Asking struct {
	question *Question
	ctx      context.Context
	about    About
	left     int // of maxExpressionCharge
	values   []any
	read     []bool
	machine  vm.VM
	env      map[string]any
}

// Ask begins to evaluate a question. now is what its now() gives. Evaluations end soon after ctx, with its error.
func (q *Question) Ask(ctx context.Context, now time.Time) *Asking {
	a := &Asking{question: q, ctx: ctx, values: make([]any, len(q.paths)), read: make([]bool, len(q.paths))}
	a.machine = vm.VM{Stack: make([]any, 0, evaluationStack), MemoryBudget: maxQuestionMemory}
	a.env = map[string]any{
		nowName: now, "get_fact": a.fact, readName: a.value, stepName: a.step, memberName: a.member, weighName: a.weigh, chargeName: a.charge,
	}
	return a
}

// Holds answers for a document.
func (a *Asking) Holds(about About) (bool, error) {
	if err := a.ctx.Err(); err != nil {
		return false, err
	}
	a.about, a.left = about, maxExpressionCharge
	clear(a.read)
	a.env["identity"], a.env["last_seen"], a.env["digest"] = about.Identity, about.LastSeen, about.Digest
	v, err := guarded(func() (any, error) { return a.machine.Run(a.question.program, a.env) })
	if ended := a.ctx.Err(); ended != nil {
		return false, ended
	}
	if err != nil {
		return false, errors.New(expressionMessage(err))
	}
	holds, _ := v.(bool) // which the library makes of it, nil included
	return holds, nil
}

// value reads a path of the document once. The library turns the panics of these functions into errors with their place.
func (a *Asking) value(args ...any) any {
	i, _ := args[0].(int)
	if !a.read[i] {
		a.values[i], a.read[i] = a.question.paths[i].Value(a.about.Document), true
	}
	return a.values[i]
}

// step reads what a path leads to and a name that the question computes, so that nothing beside it is decoded.
func (a *Asking) step(args ...any) any {
	i, _ := args[0].(int)
	word, ok := args[1].(string)
	if !ok {
		return a.member(a.value(i), args[1])
	}
	a.spend(1 + len(a.about.Document.text)/chargedText)
	return a.question.paths[i].then(word).Value(a.about.Document)
}

// fact reads a path that the question does not name, but computes.
func (a *Asking) fact(args ...any) any {
	if len(args) == 0 || len(args) > 2 {
		panic(errFactArguments)
	}
	text, ok := args[0].(string)
	if !ok {
		panic(errFactArguments)
	}
	path, err := ParsePath(text)
	if err != nil {
		panic(err)
	}
	a.spend(1 + len(a.about.Document.text)/chargedText)
	if v := path.Below("facts").Value(a.about.Document); v != nil || len(args) == 1 {
		return v
	}
	return args[1]
}

var errFactArguments = errors.New("get_fact takes a path, and what stands for a fact that is not there")
