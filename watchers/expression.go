package watchers

import (
	"context"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
)

// The codes of what an expression watcher's properties can have wrong.
const (
	CodeExpression diag.Code = "SC255" // an expression that cannot be compiled
	CodeConditions diag.Code = "SC256" // neither success_when nor fail_when
)

// OutcomeError is a condition that could not be evaluated. It fires nothing by itself.
const OutcomeError = "error"

const expressionInterval = 10 * time.Second

// expressionSpec is the properties of an expression watcher.
type expressionSpec struct {
	// SuccessWhen is an expression that is true when the outcome is success. It is read first.
	SuccessWhen *expressionCondition `yaml:"success_when" gives:"boolean"`
	// FailWhen is an expression that is true when the outcome is fail. Where neither is true nothing happens.
	FailWhen *expressionCondition `yaml:"fail_when" gives:"boolean"`
}

// Validate asks for a condition.
func (s *expressionSpec) Validate(w *machine.WatcherSpec) diag.List {
	var list diag.List
	if s.SuccessWhen == nil && s.FailWhen == nil {
		list.Add(diag.Error, CodeConditions, w.Place("properties"), `add success_when, such as success_when: data.failures == 0`,
			"there is neither success_when nor fail_when")
	}
	return list
}

// expressionCondition is a condition of an expression watcher. In manifests older than format 2 it sees fewer names than others: a manifest may
// have those that came later as variables.
type expressionCondition struct {
	Condition
	early *expressionProgram // nil in format 2
}

// bind implements slot.
func (c *expressionCondition) bind(b *binding, key, gives string) {
	if !b.scope.marked {
		program, err := compileExpression(c.text)
		if err != nil {
			b.list.Add(diag.Error, CodeExpression, c.value.Pos, "expressions see data, facts, identity and get_fact(path), and are true or false", "%s: %v", key, err)
		}
		c.early = program
		return
	}
	before := len(b.list)
	c.Condition.bind(b, key, gives)
	for i := range b.list[before:] {
		if found := &b.list[before+i]; found.Code == CodeFormula {
			found.Code = CodeExpression
		}
	}
}

func (c *expressionCondition) holds(look *Look) (bool, error) {
	if c.early != nil {
		return c.early.holds(expressionEnv(look))
	}
	return c.Holds(look, nil)
}

// outcomeCondition is a condition and the outcome that it stands for.
type outcomeCondition struct {
	key       string
	outcome   string
	condition *expressionCondition
}

// Expression is the watcher type that reads conditions over the machine's data and the host's facts.
func Expression() Type {
	return Define(Type{
		WatcherType: machine.WatcherType{
			Name:    "expression",
			Instant: true,
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Doc: "success_when has become true"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "fail_when has become true, and success_when is not"},
				{Name: OutcomeUnchanged, Class: machine.Neutral, Doc: "what is true is what was true, or neither is"},
				{Name: OutcomeError, Class: machine.Neutral,
					Doc: "an expression could not be evaluated, for example because it reads a fact that is not there"},
			},
		},
		Summary: "Reads conditions over the machine's data and the host's facts, and reports when their outcome changes.",
	}, prepareExpression)
}

func prepareExpression(spec *expressionSpec, _ *machine.WatcherSpec) *Prepared {
	var conditions []outcomeCondition
	for _, c := range []outcomeCondition{{"success_when", machine.OutcomeSuccess, spec.SuccessWhen}, {"fail_when", machine.OutcomeFail, spec.FailWhen}} {
		if c.condition != nil {
			conditions = append(conditions, c)
		}
	}
	return &Prepared{
		New:      func() Watcher { return &expressionWatcher{conditions: conditions} },
		Inline:   true,
		Interval: expressionInterval,
	}
}

// expressionWatcher remembers what it said last in this activation.
type expressionWatcher struct {
	conditions []outcomeCondition
	last       string
}

// Check evaluates the conditions and reports an outcome that is another than the last one. Success after neither
// is a change; an expression that cannot be evaluated at the moment changes nothing.
func (e *expressionWatcher) Check(_ context.Context, look *Look) Report {
	for _, c := range e.conditions {
		holds, err := c.condition.holds(look)
		switch {
		case err != nil:
			return Report{Outcome: OutcomeError, Message: c.key + ": " + err.Error()}
		case holds && c.outcome == e.last:
			return Report{Outcome: OutcomeUnchanged}
		case holds:
			e.last = c.outcome
			return Report{Outcome: c.outcome, Message: c.key + " holds"}
		}
	}
	e.last = ""
	return Report{Outcome: OutcomeUnchanged}
}

// Reset makes the next activation report again.
func (e *expressionWatcher) Reset() { e.last = "" }
