// Package conformance is the suite that every watcher type passes: it holds a type against the contract of package
// watchers. It is for tests only, and knows no type.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// Case is a type with properties to hold it against the contract with.
type Case struct {
	Type       watchers.Type
	Properties string // YAML, valid and not empty, of a look that ends soon
	// Blocking is properties of a look that does not end by itself, "" where the type has none such. A listener
	// never ends by itself.
	Blocking string
	// Spec completes the watcher; Setup completes a look, whose Directory and Scratch are empty. May be nil.
	Spec  func(w *machine.WatcherSpec)
	Setup func(t *testing.T, look *watchers.Look)
}

const (
	promptness = 100 * time.Millisecond // how soon after its context a look ends
	patience   = time.Second            // how long one that does not is waited for
)

// Run runs the suite.
func Run(t *testing.T, c Case) {
	for _, l := range laws() {
		t.Run(l.name, func(t *testing.T) {
			if err := errors.Join(l.holds(t, &c), goleak.Find(goleak.IgnoreCurrent())); err != nil {
				t.Error(err)
			}
		})
	}
}

// law is one part of the contract. holds says how a type breaks it.
type law struct {
	name  string
	holds func(t *testing.T, c *Case) error
}

func laws() []law {
	return []law{
		{"prepares the same every time", preparesTheSame},
		{"names unknown keys", namesUnknownKeys},
		{"reports declared outcomes without facts or data", reportsDeclared},
		{"ends with its context", endsWithContext},
		{"has independent instances", independent},
	}
}

// spec makes a watcher of the case from properties.
func (c *Case) spec(properties string, isStrict bool) (*machine.WatcherSpec, error) {
	n, list := strict.Parse("conformance.yaml", []byte(properties))
	if list.HasErrors() {
		return nil, list
	}
	w := &machine.WatcherSpec{Name: "w", Type: c.Type.Name, SuccessTransition: "good", FailTransition: "bad", Properties: n, Strict: isStrict}
	if c.Spec != nil {
		c.Spec(w)
	}
	return w, nil
}

func (c *Case) prepare(properties string) (*watchers.Prepared, error) {
	w, err := c.spec(properties, true)
	if err != nil {
		return nil, err
	}
	prepared, list := c.Type.Prepare(w)
	return prepared, list.Err()
}

func preparesTheSame(_ *testing.T, c *Case) error {
	w, err := c.spec(c.Properties, true)
	if err != nil {
		return err
	}
	one, list := c.Type.Prepare(w)
	two, again := c.Type.Prepare(w)
	switch {
	case list.HasErrors():
		return list
	case !reflect.DeepEqual(list, again) || !reflect.DeepEqual(list, c.Type.Check(w)):
		return fmt.Errorf("the findings differ: %s, then %s, and %s by Check", list.Error(), again.Error(), c.Type.Check(w).Error())
	case one.Inline != two.Inline || one.Timeout != two.Timeout || one.Interval != two.Interval ||
		one.Governor != two.Governor || one.OnLeave != two.OnLeave || one.Survives != two.Survives:
		return fmt.Errorf("prepared %+v, then %+v", one, two)
	}
	return eitherShape(one.New())
}

// eitherShape holds that the runtime knows what to call.
func eitherShape(w watchers.Watcher) error {
	_, checker := w.(watchers.Checker)
	_, listener := w.(watchers.Listener)
	if checker == listener {
		return fmt.Errorf("%T is to be a Checker or a Listener", w)
	}
	return nil
}

func namesUnknownKeys(_ *testing.T, c *Case) error {
	fields := strict.Fields(reflect.New(reflect.TypeOf(c.Type.Spec)).Interface())
	at := slices.IndexFunc(fields, func(f strict.FieldInfo) bool { return len(f.Name) > 3 })
	if at < 0 {
		return errors.New("there is no property to misspell")
	}
	known := fields[at].Name
	properties := strings.TrimRight(c.Properties, "\n") + "\n" + known + "x: 1\n"
	var errs []error
	for _, isStrict := range []bool{true, false} {
		w, err := c.spec(properties, isStrict)
		if err != nil {
			return err
		}
		errs = append(errs, namesKey(c.Type.Check(w), known, isStrict))
	}
	return errors.Join(errs...)
}

func namesKey(list diag.List, known string, isStrict bool) error {
	want := diag.Warning
	if isStrict {
		want = diag.Error
	}
	for _, d := range list {
		if d.Severity == want && d.Line > 0 && strings.Contains(d.Message, known+"x") && strings.Contains(d.Hint, known) {
			return nil
		}
	}
	return fmt.Errorf("strict %t: no %s with place names %sx and suggests %s, only: %s", isStrict, want, known, known, list.Error())
}

// look makes a look at a machine without facts and data.
func (c *Case) look(t *testing.T) *watchers.Look {
	now := time.Now().Round(0)
	look := &watchers.Look{
		Moment: watchers.Started, Machine: "conformance", Version: "1.0.0", Watcher: "w", State: "testing", Identity: "node.example",
		Directory: t.TempDir(), Scratch: t.TempDir(), At: now, Deadline: now.Add(time.Minute), Strict: true, Log: slog.New(slog.DiscardHandler),
	}
	if c.Setup != nil {
		c.Setup(t, look)
	}
	return look
}

// observe plans and takes one look, or listens until the context ends.
func observe(ctx context.Context, w watchers.Watcher, look *watchers.Look) watchers.Report {
	plan(w, watchers.Started, look.At)
	var rep watchers.Report
	switch w := w.(type) {
	case watchers.Listener:
		rep = w.Listen(ctx, look, func(watchers.Report) {})
	case watchers.Checker:
		rep = w.Check(ctx, look)
	}
	plan(w, watchers.Looked, look.At)
	return rep
}

func plan(w watchers.Watcher, moment watchers.Moment, now time.Time) {
	if p, ok := w.(watchers.Planner); ok {
		p.Plan(watchers.Planning{
			Moment: moment, Now: now, Since: now, Interval: time.Minute, Strict: true,
			Random: func(time.Duration) time.Duration { return 0 },
		})
	}
}

func reportsDeclared(t *testing.T, c *Case) error {
	prepared, err := c.prepare(c.Properties)
	if err != nil {
		return err
	}
	w := prepared.New()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, listener := w.(watchers.Listener); listener {
		cancel()
	}
	rep := observe(ctx, w, c.look(t))
	if r, ok := w.(watchers.Resetter); ok {
		r.Reset()
	}
	if ctx.Err() == nil && !c.declares(rep.Outcome) {
		return fmt.Errorf("the outcome %q is not declared", rep.Outcome)
	}
	return nil
}

func (c *Case) declares(outcome string) bool {
	return outcome == machine.OutcomeSuccess || outcome == machine.OutcomeFail ||
		slices.ContainsFunc(c.Type.Outcomes, func(o machine.Outcome) bool { return o.Name == outcome })
}

// endsWithContext gives a look three chances, as the system may be busy.
func endsWithContext(t *testing.T, c *Case) error {
	properties := c.Properties
	if c.Blocking != "" {
		properties = c.Blocking
	}
	prepared, err := c.prepare(properties)
	if err != nil {
		return err
	}
	var late time.Duration
	for range 3 {
		if late = overtime(t, c, prepared); late <= promptness {
			return nil
		}
	}
	return fmt.Errorf("ends %s after its context, not within %s", late, promptness)
}

// overtime returns how long after its context a look ends, up to patience.
func overtime(t *testing.T, c *Case, prepared *watchers.Prepared) time.Duration {
	const given = 50 * time.Millisecond
	look, w := c.look(t), prepared.New()
	ctx, cancel := context.WithTimeout(t.Context(), given)
	defer cancel()
	ended := make(chan time.Time, 1)
	start := time.Now()
	go func() {
		observe(ctx, w, look)
		ended <- time.Now()
	}()
	select {
	case at := <-ended:
		return at.Sub(start) - given
	case <-time.After(patience):
		return patience
	}
}

// independent runs instances beside each other; the race detector sees what they share.
func independent(t *testing.T, c *Case) error {
	prepared, err := c.prepare(c.Properties)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for range 4 {
		look, w := c.look(t), prepared.New()
		if _, listener := w.(watchers.Listener); listener {
			cancel()
		}
		all.Go(func() {
			for range 2 {
				observe(ctx, w, look)
			}
		})
	}
	all.Wait()
	return nil
}
