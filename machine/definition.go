package machine

import (
	"iter"
	"math/bits"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine/marks"
)

// Definition is a compiled, checked manifest. It is immutable, safe for concurrent use and shared by
// every host and instance that runs the manifest.
type Definition struct {
	Manifest *Manifest

	digest   string // of the manifest, in hex
	states   []string
	index    map[string]int       // state -> its place in states
	specs    []StateSpec          // by place in states
	groups   []groups             // by place in states; nil where no group has a deadline
	rules    []rule               // by place in Manifest.Transitions
	byState  []map[string][]int   // by place in states: event -> places in rules, in the manifest's order
	byName   map[string]int       // event -> the first of its rules
	watchers []watcherRule        // by place in Manifest.Watchers
	types    map[string]ValueType // of declared data keys
	defaults map[string]any
	engine   *engine
	table    *table         // for checks only
	writes   []written      // by the watchers, for CheckSet
	prompt   [][]promptMove // by state, for checks
	files    []File         // that were read with the manifest, by name
	secrets  *secrets       // nil where nothing is secret
}

// rule is a compiled transition.
type rule struct {
	name    string
	event   string // looplab's name of this one rule: guards choose between rules of one name
	from    []int
	dest    int         // -1 where it stays
	when    *expression // nil is always
	set     []assignment
	reenter bool
}

// leads returns the state after the rule, in a state that it leaves.
func (r *rule) leads(from int) int {
	if r.dest < 0 {
		return from
	}
	return r.dest
}

// endsIn reports whether a machine that takes the rule can be in a state then.
func (r *rule) endsIn(state int) bool {
	return r.dest == state || r.dest < 0 && slices.Contains(r.from, state)
}

// assignment is a compiled value of set, or a default that a key is set back to.
type assignment struct {
	key   string
	value *marks.Value
	exprs []*expression // by index
}

// watcherRule is what the core knows of a watcher.
type watcherRule struct {
	active []uint64          // bit i: active in state i
	events map[string]string // outcome -> event
	when   *expression       // nil is always
}

// States returns every state, the initial one first, then as they appear in the source.
func (d *Definition) States() []string { return slices.Clone(d.states) }

// State returns the facts of a state, with the zero facts for one that the states section leaves out.
// Where no state is declared to be home, the initial one is.
func (d *Definition) State(name string) (StateSpec, bool) {
	i, ok := d.index[name]
	if !ok {
		return StateSpec{}, false
	}
	return d.specs[i], true
}

// Matches reports whether the watcher at index w of the manifest is active in a state.
func (d *Definition) Matches(w int, state string) bool {
	i, ok := d.index[state]
	return ok && d.watchers[w].isActive(i)
}

func (r *watcherRule) isActive(state int) bool { return r.active[state/64]&(1<<(state%64)) != 0 }

// states returns the places of the states in which the watcher is active, in order.
func (r *watcherRule) states() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, word := range r.active {
			for ; word != 0; word &= word - 1 {
				if !yield(i*64 + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// EventFor returns the event that an outcome of the watcher at index w fires, "" for none.
func (d *Definition) EventFor(w int, outcome string) string { return d.watchers[w].events[outcome] }

// DeadlineEvent returns the event of deadline i of a state with its cause, the zero Event where there is none.
func (d *Definition) DeadlineEvent(state string, i int) Event {
	spec, ok := d.State(state)
	if !ok || i < 0 || i >= len(spec.After) {
		return Event{}
	}
	ev := spec.After[i].event()
	ev.Cause.Deadline = i + 1
	return ev
}

// event is what a deadline fires.
func (dl *Deadline) event() Event {
	return Event{Name: dl.Event, Cause: Cause{Kind: CauseDeadline, Name: dl.After.String()}}
}

// Announces reports whether a transition that the definition has decided is news, which is published.
func (d *Definition) Announces(r *Record) bool {
	t := d.decided(r)
	return t != nil && r.From != r.To && !t.Quiet
}

// Reenters reports whether a transition that the definition has decided says that it begins a new visit.
func (d *Definition) Reenters(r *Record) bool {
	t := d.decided(r)
	return t != nil && t.Reenter
}

// decided returns the transition of a record, nil where it is of none.
func (d *Definition) decided(r *Record) *Transition {
	from, known := d.index[r.From]
	if r.Kind != RecordTransition || !known {
		return nil
	}
	for _, i := range d.byState[from][r.Event] {
		if d.rules[i].when == nil || slices.Contains(r.Guards, GuardValue{Transition: i, Value: true}) {
			return &d.Manifest.Transitions[i]
		}
	}
	return nil
}

// When reports whether a watcher's `when` admits a look now. A watcher without one is always admitted.
func (d *Definition) When(w int, s *Snapshot, at time.Time) (bool, error) {
	when := d.watchers[w].when
	if when == nil {
		return true, nil
	}
	return when.holds(d.watcherEnv(s, at))
}
