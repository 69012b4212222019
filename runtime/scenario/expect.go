package scenario

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
)

// expect holds a machine against what it should be and reports everything that differs.
func (r *run) expect(ctx context.Context, e *expectation) {
	name := r.machine(e.Machine)
	m, err := r.sim.Machine(ctx, name)
	if err != nil {
		r.fail("looking at "+name, "", err.Error())
		return
	}
	if want := e.State.value; want != "" && m.State != want {
		r.fail("state of "+name, want, orNone(m.State)+slowed(&m))
	}
	if want := e.Event.value; want != "" && r.taken[name] != want {
		r.fail("event that "+name+" took last", want, orNone(r.taken[name]))
	}
	if e.Refused.value != "" {
		r.refused(name, e.Refused.value)
	}
	if e.Final != "" && e.Final != orNone(m.Final) {
		r.fail("how "+name+" has ended", e.Final, orNone(m.Final))
	}
	r.data(e.Data, m.Data)
	if e.Looking != nil {
		r.expectLooking(name, e.Looking)
	}
	if e.Deadline != nil {
		r.deadline(e.Deadline, m.Deadline)
	}
	if e.Published != nil {
		r.expectPublished(e.Published)
	}
}

// slowed says of a machine whose events wait that time has to pass.
func slowed(m *runtime.MachineDetail) string {
	if !m.Throttled {
		return ""
	}
	return " (throttled: it has turned as fast as " + m.Pace + " allows, and its events wait; advance lets time pass)"
}

// orNone names what is not there.
func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func (r *run) refused(name, want string) {
	last, given := r.last[name]
	refused := given && last.Kind == machine.RecordRefused
	switch {
	case refused && (last.Event == want || strings.Contains(last.Reason, want)):
	case refused:
		r.fail("refusal of the event that "+name+" was given last", want, last.Event+": "+last.Reason)
	case given:
		r.fail("refusal of the event that "+name+" was given last", want, last.Event+" was taken")
	default:
		r.fail("refusal of the event that "+name+" was given last", want, "no event was given")
	}
}

func (r *run) data(want values, got map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		v, present := got[key]
		if w := plainValue(want[key].Any()); !reflect.DeepEqual(w, v) {
			shown := "no such key"
			if present {
				shown = show(v)
			}
			r.fail("data key "+key, show(w), shown)
		}
	}
}

func (r *run) expectLooking(name string, want []text) {
	var names []string
	for _, w := range want {
		names = append(names, w.value)
	}
	slices.Sort(names)
	if got := r.looking(name); !slices.Equal(slices.Compact(names), got) {
		r.fail("watchers of "+name+" that are looking", orNone(strings.Join(names, ", ")), orNone(strings.Join(got, ", ")))
	}
}

func (r *run) deadline(want *deadline, got *runtime.DeadlineStatus) {
	now := r.clock.Now()
	shown := "none"
	if got != nil {
		shown = fmt.Sprintf("%s in %s, at %s", got.Event, got.At.Sub(now), got.At.Format(time.RFC3339Nano))
	}
	if want.Event.value == "none" {
		if got != nil {
			r.fail("next deadline", "none", shown)
		}
		return
	}
	switch {
	case got == nil || got.Event != want.Event.value:
		r.fail("next deadline", want.Event.value, shown)
	case want.In != nil && got.At.Sub(now) != want.In.Std():
		r.fail("next deadline", fmt.Sprintf("%s in %s", got.Event, want.In), shown)
	case !want.At.time.IsZero() && !got.At.Equal(want.At.time):
		r.fail("next deadline", fmt.Sprintf("%s at %s", got.Event, want.At.time.Format(time.RFC3339)), shown)
	}
}

// expectPublished finds the documents in order among those that nobody has asked for yet, which are forgotten then.
func (r *run) expectPublished(want []values) {
	published := r.published
	r.published = nil
	if len(want) == 0 && len(published) > 0 {
		r.fail("documents published", "none", documents(published))
		return
	}
	rest := published
	for _, w := range want {
		fields := w.plain()
		i := slices.IndexFunc(rest, func(doc map[string]any) bool { return contains(doc, fields) })
		if i < 0 {
			r.fail("document published", show(fields), documents(published))
			return
		}
		rest = rest[i+1:]
	}
}

// contains reports whether a document has all of the fields.
func contains(doc, fields map[string]any) bool {
	for key, want := range fields {
		if !reflect.DeepEqual(doc[key], want) {
			return false
		}
	}
	return true
}

// documents renders documents without the fields that are the same for all or nobody's choice.
func documents(published []map[string]any) string {
	if len(published) == 0 {
		return "none"
	}
	var lines []string
	for _, doc := range published {
		brief := maps.Clone(doc)
		for _, key := range []string{"id", "identity", "protocol", "timestamp", "version"} {
			delete(brief, key)
		}
		lines = append(lines, show(brief))
	}
	return strings.Join(lines, ", ")
}
