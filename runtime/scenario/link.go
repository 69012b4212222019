package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// linker holds what a file names against what there is.
type linker struct {
	suite *Suite
	// whole is set where the file could be read to its last key. Otherwise nothing is said about what seems
	// to be missing.
	whole bool
	list  diag.List
}

// link loads the manifests and resolves every name of the file.
func (s *Suite) link(root *strict.Node, whole bool) diag.List {
	l := &linker{suite: s, whole: whole}
	s.start = s.doc.Start.or(l.defaultStart())
	if s.doc.Identity == "" {
		s.doc.Identity = defaultIdentity
	}
	for i := range s.doc.Tests {
		s.tests = append(s.tests, &s.doc.Tests[i])
	}
	at := s.doc.Machine.pos
	if at.Line == 0 {
		at = diag.Position{File: s.file, Line: root.Pos.Line, Column: root.Pos.Column}
	}
	for _, w := range s.doc.With {
		if m := s.loadMachine(w.value, w.pos, "name a manifest of with by its path from the directory of this file", &l.list); m != nil {
			s.machines = append(s.machines, m)
		}
	}
	if m := s.loadMachine(s.doc.Machine.value, at, "name the manifest with machine: FILE, relative to this file", &l.list); m != nil {
		s.machines = append(s.machines, m)
	}
	l.names()
	if len(s.machines) < len(s.doc.With)+1 {
		return l.list
	}
	l.machines()
	if len(s.tests) == 0 && whole {
		l.fail(codeNothing, root.Get("tests").Pos, "add a test: a name and steps", "there are no tests")
	}
	for _, t := range s.tests {
		l.test(t)
	}
	return l.list
}

func (l *linker) defaultStart() time.Time {
	t, err := time.Parse(time.RFC3339, defaultStart)
	if err != nil {
		panic("scenario: the default start is no time: " + err.Error())
	}
	return t
}

func (l *linker) fail(code diag.Code, at diag.Position, hint, format string, args ...any) {
	l.list.Add(diag.Error, code, at, hint, format, args...)
}

// names holds the tests' names against each other.
func (l *linker) names() {
	first := map[string]int{}
	for _, t := range l.suite.tests {
		if line, twice := first[t.Name.value]; twice {
			l.fail(codeTwice, t.Name.pos, "give each test a name of its own", "another test is named %q, on line %d", t.Name.value, line)
		}
		first[t.Name.value] = t.Name.pos.Line
	}
}

// machines holds the machines' names against each other.
func (l *linker) machines() {
	seen := map[string]bool{l.suite.subject().name(): true}
	for i, at := range l.suite.doc.With {
		name := l.suite.machines[i].name()
		if seen[name] {
			l.fail(codeMachine, at.pos, "name each manifest once", "a machine named %s runs here already", name)
		}
		seen[name] = true
	}
}

func (l *linker) test(t *test) {
	subject := l.suite.subject()
	if t.State.value != "" {
		l.state(subject, t.State)
	}
	for _, f := range subject.Manifest.Data {
		if n := t.Data[f.Name]; n != nil && !admits(f.Type, plainValue(n.Any())) {
			l.fail(codeValue, n.Pos, "write a value of type "+string(f.Type), "data key %q is declared %s", f.Name, f.Type)
		}
	}
	expects := false
	for i := range t.Steps {
		l.step(&t.Steps[i])
		expects = expects || t.Steps[i].Expect != nil
	}
	if !expects && l.whole {
		l.fail(codeNothing, t.Name.pos, "add a step such as expect: {state: "+subject.Manifest.InitialState+"}", "the test %q expects nothing, so that it cannot fail", t.Name.value)
	}
}

func (l *linker) step(s *step) {
	switch {
	case s.Expect != nil:
		l.expectation(s.pos, s.Expect)
	case s.Outcome != nil:
		l.given(s.Outcome)
	case s.Hang != nil:
		l.looking(s.Hang.Machine, s.Hang.Watcher)
	case s.Fire != nil:
		if m := l.machine(s.Fire.Machine); m != nil {
			l.event(m, s.Fire.Event)
		}
	}
}

// machine finds the machine that a step names, the one under test where it names none.
func (l *linker) machine(name text) *loaded {
	if name.value == "" {
		return l.suite.subject()
	}
	var names []string
	for _, m := range l.suite.machines {
		if m.name() == name.value {
			return m
		}
		names = append(names, m.name())
	}
	l.fail(codeMachine, name.pos, hint(name.value, names, "the machines are"), "no machine %q runs here; with: lists the manifests that run beside the tested one", name.value)
	return nil
}

func (l *linker) state(m *loaded, state text) {
	if _, ok := m.State(state.value); !ok {
		l.fail(codeState, state.pos, hint(state.value, m.States(), "the states are"), "%s has no state %q", m.name(), state.value)
	}
}

func (l *linker) event(m *loaded, event text) {
	names := m.events()
	if !slices.Contains(names, event.value) {
		l.fail(codeEvent, event.pos, hint(event.value, names, "the events are"), "%s has no transition %q", m.name(), event.value)
	}
}

// events returns the names of the machine's transitions, each once.
func (l *loaded) events() []string {
	var names []string
	for _, t := range l.Manifest.Transitions {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

func (l *linker) watcher(m *loaded, name text) *watcher {
	var names []string
	for _, w := range m.watchers {
		if w.spec.Name == name.value {
			return w
		}
		names = append(names, w.spec.Name)
	}
	l.fail(codeWatcher, name.pos, hint(name.value, names, "the watchers are"), "%s has no watcher %q", m.name(), name.value)
	return nil
}

// looking finds the watcher of a step that is about its look.
func (l *linker) looking(machine, name text) *watcher {
	m := l.machine(machine)
	if m == nil {
		return nil
	}
	w := l.watcher(m, name)
	if w != nil && w.inline {
		l.fail(codeInline, name.pos, "advance the time, or set the data and facts that it reads",
			"%s is of type %s, which runs by itself in a test", w.spec.Name, w.spec.Type)
		return nil
	}
	return w
}

func (l *linker) given(g *given) {
	w := l.looking(g.Machine, g.Watcher)
	if w == nil {
		return
	}
	if g.Every && w.listens {
		l.fail(codeStep, g.Watcher.pos, "give each of its reports in a step of its own, without every", "%s is of type %s, which listens: it has one look that does not end", w.spec.Name, w.spec.Type)
		return
	}
	o := w.outcome(g.Outcome.value)
	if o == nil {
		var names []string
		for _, o := range w.outcomes {
			names = append(names, o.Name)
		}
		l.fail(codeOutcome, g.Outcome.pos, hint(g.Outcome.value, names, "the outcomes are"), "a watcher of type %s does not report %q", w.spec.Type, g.Outcome.value)
		return
	}
	l.payload(w, o, g.Payload)
}

func (l *linker) payload(w *watcher, o *machine.Outcome, given values) {
	for _, field := range slices.Sorted(maps.Keys(given)) {
		n := given[field]
		typ, declared := o.Payload[field]
		switch {
		case !declared:
			l.fail(codePayload, n.Pos, hint(field, slices.Sorted(maps.Keys(o.Payload)), "the fields are"),
				"%s of type %s carries no field %q with the outcome %s", w.spec.Name, w.spec.Type, field, o.Name)
		case !admits(typ, plainValue(n.Any())):
			l.fail(codePayload, n.Pos, "write a value of type "+string(typ), "the payload field %q is declared %s", field, typ)
		}
	}
}

func (l *linker) expectation(at diag.Position, e *expectation) {
	m := l.machine(e.Machine)
	if m == nil {
		return
	}
	if e.State.value != "" {
		l.state(m, e.State)
	}
	if e.Event.value != "" {
		l.event(m, e.Event)
	}
	if d := e.Deadline; d != nil && d.Event.value != "none" {
		l.event(m, d.Event)
	}
	for _, name := range e.Looking {
		l.watcher(m, name)
	}
	if l.whole && e.State.value == "" && len(e.Data) == 0 && e.Event.value == "" && e.Refused.value == "" && e.Published == nil &&
		e.Looking == nil && e.Final == "" && e.Deadline == nil {
		l.fail(codeNothing, at, "add what is expected, such as state: "+m.Manifest.InitialState, "the step expects nothing, so that it cannot fail")
	}
}

// hint names what was probably meant, else all there is.
func hint(name string, names []string, before string) string {
	if near := strict.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(names) == 0 {
		return "there are none; remove it"
	}
	return before + " " + strings.Join(names, ", ")
}

// admits reports whether a value is of a declared type.
func admits(t machine.ValueType, v any) bool {
	switch v.(type) {
	case nil:
		return true
	case string:
		return t == machine.String || t == machine.Any
	case int:
		return t == machine.Integer || t == machine.Number || t == machine.Any
	case float64:
		return t == machine.Number || t == machine.Any
	case bool:
		return t == machine.Boolean || t == machine.Any
	case []any:
		return t == machine.Array || t == machine.Any
	default:
		return t == machine.Object || t == machine.Any
	}
}
