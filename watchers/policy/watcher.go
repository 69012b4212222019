package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// maxReason is how many characters of a policy's own reason are kept.
const maxReason = 1000

// watcher decides for one machine.
type watcher struct {
	spec *spec // shared by all instances
}

// Check asks the policy once.
func (w *watcher) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	if w.spec.program == nil {
		return watchers.Failure("there is no policy: the file " + line(w.spec.File) + " was not read with the manifest")
	}
	input, err := w.spec.Input.Value(look, nil)
	if err != nil {
		return watchers.Failure(line("input: " + err.Error()))
	}
	base, err := w.spec.Data.Object(look, nil)
	if err != nil {
		return watchers.Failure(line("data: " + err.Error()))
	}
	q := question{look: look, input: input, base: base}
	err = guarded(func() error { return q.ask(ctx, w.spec.program) })
	return w.report(ctx, &q, err)
}

func (w *watcher) report(ctx context.Context, q *question, err error) watchers.Report {
	var broken panicError
	switch {
	case errors.As(err, &broken):
		return denied(line("the policy decides nothing: " + err.Error()))
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
		return watchers.Report{Outcome: machine.OutcomeTimeout, Message: "the policy did not decide in time"}
	case ctx.Err() != nil && err != nil:
		return watchers.Failure("the decision was cancelled")
	case err != nil:
		return watchers.Failure(line("evaluating the policy: " + err.Error()))
	}
	return q.judge()
}

// question is what a policy is asked, and what it answered.
type question struct {
	look    *watchers.Look
	input   any
	base    map[string]any
	answers rego.ResultSet
	errors  []topdown.Error // of functions whose arguments made no sense: their value is undefined
}

func (q *question) ask(ctx context.Context, p *program) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	prepared := p.prepared
	if q.base != nil {
		base, err := plain(q.base)
		if err != nil {
			return fmt.Errorf("data is no JSON: %w", err)
		}
		store := inmem.NewFromObjectWithOpts(base, inmem.OptRoundTripOnWrite(false))
		if prepared, err = rego.New(append(p.options(), rego.Store(store))...).PrepareForEval(ctx); err != nil {
			return err
		}
	}
	opts := []rego.EvalOption{rego.EvalTime(q.look.At), rego.EvalBuiltinErrorList(&q.errors)}
	if q.input != nil { // without one, input is undefined and not null
		opts = append(opts, rego.EvalInput(q.input))
	}
	var err error
	q.answers, err = prepared.Eval(ctx, opts...)
	return err
}

// plain makes a mapping one of JSON values only.
func plain(m map[string]any) (out map[string]any, err error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	return out, d.Decode(&out)
}

// judge makes an outcome of the answer. Whatever is not clearly in favour is against.
func (q *question) judge() watchers.Report {
	switch {
	case len(q.answers) == 0:
		return denied("the policy gives no answer: the query is undefined for this input" + q.firstError())
	case len(q.answers) > 1:
		return denied(fmt.Sprintf("the query has %d answers; ask for one that decides", len(q.answers)))
	}
	switch result := q.answers[0].Expressions[0].Value.(type) {
	case bool:
		if !result {
			return denied("the policy says no" + q.firstError())
		}
		return q.favour(result, "")
	case map[string]any:
		return q.judgeObject(result)
	default:
		return denied("the answer is " + kind(result) + ", where true, false or an object decides")
	}
}

func (q *question) judgeObject(result map[string]any) watchers.Report {
	reason, _ := result["reason"].(string)
	reason = line(reason)
	switch allow, has := result["allow"]; {
	case len(result) == 0:
		return denied("the policy says no: its answer is an empty object" + q.firstError())
	case has && allow != true && reason == "":
		return denied("the policy says no: allow is not true" + q.firstError())
	case has && allow != true:
		return denied(reason)
	}
	return q.favour(result, reason)
}

func (q *question) favour(result any, reason string) watchers.Report {
	r := watchers.Success()
	r.Payload, r.Message = map[string]any{"result": result, "reason": reason}, reason
	text, err := json.Marshal(r.Payload)
	switch {
	case err != nil:
		return watchers.Failure(line("the answer is no JSON: " + err.Error()))
	case len(text) > machine.MaxPayload:
		return watchers.Failure(fmt.Sprintf("the answer takes more than the %d bytes that an event carries; ask for less of it", machine.MaxPayload))
	}
	return r
}

func (q *question) firstError() string {
	if len(q.errors) == 0 {
		return ""
	}
	return line(fmt.Sprintf("; row %d: %s", row(&q.errors[0]), q.errors[0].Message))
}

func row(e *topdown.Error) int {
	if e.Location == nil {
		return 0
	}
	return e.Location.Row
}

func denied(reason string) watchers.Report {
	return watchers.Report{Outcome: OutcomeDenied, Message: reason, Payload: map[string]any{"reason": reason}}
}

// kind names a value without repeating what may be long or secret.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a text"
	case []any:
		return "a list"
	default:
		return "a number"
	}
}

// line makes text of any origin one that may be shown on a terminal.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if runes := []rune(text); len(runes) > maxReason {
		return string(runes[:maxReason]) + "..."
	}
	return text
}
