package scenario

import (
	"math"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// The codes of what a scenario file can have wrong beyond what every document can.
const (
	codeTime     diag.Code = "SC601" // a time that is not RFC 3339
	codeStep     diag.Code = "SC602" // a step that is not exactly one thing
	codeState    diag.Code = "SC603" // a state that the machine does not have
	codeTwice    diag.Code = "SC604" // two tests of one name
	codeNothing  diag.Code = "SC605" // a test or an expectation that cannot fail
	codeManifest diag.Code = "SC606" // a manifest that cannot be read or has errors
	codeMachine  diag.Code = "SC607" // a machine that does not run in this file
	codeWatcher  diag.Code = "SC608" // a watcher that the machine does not have
	codeInline   diag.Code = "SC609" // a watcher whose outcome is not given, because it runs by itself
	codeOutcome  diag.Code = "SC610" // an outcome that the watcher's type does not have
	codePayload  diag.Code = "SC611" // a payload field that the outcome does not have, or of another type
	codeEvent    diag.Code = "SC612" // an event that the machine does not have
	codeValue    diag.Code = "SC613" // a value that is not of its declared type
)

// values is a mapping whose values keep their places.
type values map[string]*strict.Node

// document is a scenario file.
type document struct {
	// Machine is the manifest under test, relative to this file. By default it is named by the file: machine.yaml for
	// machine_test.yaml.
	Machine text `yaml:"machine"`
	// With lists manifests that run beside it, for subscriptions and foreign states.
	With []text `yaml:"with"`
	// Identity is the host's, as expressions see it.
	Identity string `yaml:"identity"`
	// Facts are the host's facts.
	Facts values `yaml:"facts"`
	// Start is the time at which every test begins.
	Start instant `yaml:"start"`
	// Tests are the tests, each in a fresh host.
	Tests []test `yaml:"tests,required"`
}

// test is one test.
type test struct {
	// Name says what is shown, in a few words. It is unique in the file.
	Name text `yaml:"name,required"`
	// Description says more, for those who read it.
	Description string `yaml:"description"`
	// State is the state in which the machine starts, in place of its initial one.
	State text `yaml:"state"`
	// Data is set in the machine's data before it starts, over the defaults of the manifest.
	Data values `yaml:"data"`
	// Input is what the machine is started with: the site's configuration or, of a template's instance, what its spawner gives.
	Input values `yaml:"input"`
	// Instance is the key of the instance, where the manifest is a template.
	Instance text `yaml:"instance"`
	// Facts replace those of the file.
	Facts values `yaml:"facts"`
	// Start replaces that of the file.
	Start instant `yaml:"start"`
	// Steps are what happens and what is expected, in order.
	Steps []step `yaml:"steps,required"`
}

// step is one step: exactly one of its keys.
type step struct {
	stepKeys
	pos diag.Position
}

type stepKeys struct {
	// Expect holds the machine against what it should be.
	Expect *expectation `yaml:"expect"`
	// Outcome ends the look of a watcher.
	Outcome *given `yaml:"outcome"`
	// Hang has the look of a watcher not return, neither in time nor when its state is left: its time-out is told in its place, and nothing
	// looks there again until an outcome step ends it.
	Hang *hanging `yaml:"hang"`
	// Fire gives the machine an operator's event.
	Fire *fire `yaml:"fire"`
	// Advance lets time pass.
	Advance *strict.Duration `yaml:"advance" max:"10y"`
	// At lets time pass until the wall clock shows a time.
	At *instant `yaml:"at"`
	// SetClock sets the wall clock, as an administrator would; no time passes.
	SetClock *instant `yaml:"set_clock"`
	// Restart ends the host as a crash would and starts it again.
	Restart *bool `yaml:"restart"`
}

// UnmarshalNode implements strict.Unmarshaler.
func (s *step) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	s.pos = n.Pos
	list := strict.Decode(n, &s.stepKeys, opts)
	if n.Kind != strict.Mapping {
		return list
	}
	if len(n.Fields) > 0 {
		s.pos = n.Fields[0].Pos
	}
	if !list.HasErrors() && (len(n.Fields) != 1 || s.empty()) {
		list.Add(diag.Error, codeStep, n.Pos, "write one of expect, outcome, hang, fire, advance, at, set_clock and restart a step, with its value",
			"a step is exactly one thing, this one has %d keys", len(n.Fields))
	}
	return list
}

func (s *step) empty() bool {
	return s.Expect == nil && s.Outcome == nil && s.Hang == nil && s.Fire == nil && s.Advance == nil && s.At == nil && s.SetClock == nil &&
		(s.Restart == nil || !*s.Restart)
}

// given is the outcome of a look.
type given struct {
	// Watcher is the watcher whose look ends.
	Watcher text `yaml:"watcher,required"`
	// Outcome is what it reports: success, fail, timeout, panic or an outcome of its type.
	Outcome text `yaml:"outcome,required"`
	// Payload is what the event carries.
	Payload values `yaml:"payload"`
	// Data is set in the machine's data, null deletes a key.
	Data values `yaml:"data"`
	// Facts replace the host's facts.
	Facts values `yaml:"facts"`
	// Message is the reason, for people.
	Message string `yaml:"message"`
	// Every has this look, if there is one, and every later one of the watcher end like this, until the next outcome of the watcher is given.
	Every bool `yaml:"every"`
	// Machine is the machine of the watcher, by default the one under test.
	Machine text `yaml:"machine"`
}

// hanging is a look that does not return, written as the name of its watcher or with its machine.
type hanging struct{ hangingKeys }

type hangingKeys struct {
	// Watcher is the watcher whose look hangs.
	Watcher text `yaml:"watcher,required"`
	// Machine is the machine of the watcher, by default the one under test.
	Machine text `yaml:"machine"`
}

// UnmarshalNode implements strict.Unmarshaler.
func (h *hanging) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	if n.Kind == strict.Scalar {
		return strict.Decode(n, &h.Watcher, opts)
	}
	return strict.Decode(n, &h.hangingKeys, opts)
}

// fire is an operator's event, written as its name or with what it carries.
type fire struct{ fireKeys }

type fireKeys struct {
	// Event is the event's name.
	Event text `yaml:"event,required"`
	// Payload is what the event carries.
	Payload values `yaml:"payload"`
	// Machine is the machine that gets it, by default the one under test.
	Machine text `yaml:"machine"`
}

// UnmarshalNode implements strict.Unmarshaler.
func (f *fire) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	if n.Kind == strict.Scalar {
		return strict.Decode(n, &f.Event, opts)
	}
	return strict.Decode(n, &f.fireKeys, opts)
}

// expectation is what a machine should be. Every key that is written is held against it.
type expectation struct {
	// Machine is the machine that is looked at, by default the one under test.
	Machine text `yaml:"machine"`
	// State is the state that it is in.
	State text `yaml:"state"`
	// Data are keys of its data with their values; null is a key that is not there.
	Data values `yaml:"data"`
	// Event is the event that it took last.
	Event text `yaml:"event"`
	// Refused is the event that it was given last and refused, or a part of the reason.
	Refused text `yaml:"refused"`
	// Published are documents in order, each with some of its fields, among those published since this was last
	// asked. An empty list is that there are none.
	Published []values `yaml:"published"`
	// Looking are the watchers whose looks are in progress, all of them.
	Looking []text `yaml:"looking"`
	// Final is how the machine has ended, none where it has not.
	Final string `yaml:"final" enum:"success|failure|none"`
	// Deadline is the next deadline of the state: its event, or its event and time; none where there is none.
	Deadline *deadline `yaml:"deadline"`
}

// deadline is written as its event or with when it is due.
type deadline struct{ deadlineKeys }

type deadlineKeys struct {
	// Event is the event that it fires.
	Event text `yaml:"event,required"`
	// In is the time until then.
	In *strict.Duration `yaml:"in"`
	// At is that time.
	At instant `yaml:"at"`
}

// UnmarshalNode implements strict.Unmarshaler.
func (d *deadline) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	if n.Kind == strict.Scalar {
		return strict.Decode(n, &d.Event, opts)
	}
	return strict.Decode(n, &d.deadlineKeys, opts)
}

// text is a text with its place.
type text struct {
	value string
	pos   diag.Position
}

// UnmarshalNode implements strict.Unmarshaler.
func (t *text) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	t.pos = n.Pos
	return strict.Decode(n, &t.value, opts)
}

// instant is a time, written as RFC 3339 has it.
type instant struct{ time time.Time }

// UnmarshalNode implements strict.Unmarshaler.
func (i *instant) UnmarshalNode(n *strict.Node, opts strict.Options) (list diag.List) {
	var written string
	if list = strict.Decode(n, &written, opts); list.HasErrors() {
		return list
	}
	t, err := time.Parse(time.RFC3339, written)
	if err != nil {
		list.Add(diag.Error, codeTime, n.Pos, "write it as "+defaultStart+" or with another offset, as 2026-01-05T11:00:00+01:00", "%q is not a time", written)
	}
	i.time = t
	return list
}

// or returns the first of times that is written.
func (i instant) or(other time.Time) time.Time {
	if i.time.IsZero() {
		return other
	}
	return i.time
}

// plain returns the values as machines hold them, nil for none.
func (v values) plain() map[string]any {
	if v == nil {
		return nil
	}
	out := make(map[string]any, len(v))
	for key, n := range v {
		out[key] = plainValue(n.Any())
	}
	return out
}

// plainValue makes whole numbers int, as they are in data and payloads.
func plainValue(v any) any {
	switch v := v.(type) {
	case float64:
		if v == math.Trunc(v) && v >= math.MinInt && v < -math.MinInt {
			return int(v)
		}
	case map[string]any:
		for key := range v {
			v[key] = plainValue(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plainValue(v[i])
		}
	}
	return v
}
