package scenario

import (
	"fmt"
	"slices"

	"github.com/statecraft-io/statecraft/machine"
)

// Coverage is how much of the tested machine the tests of a file have seen.
type Coverage struct {
	States      Covered `json:"states"`      // entered
	Transitions Covered `json:"transitions"` // taken
	Guards      Covered `json:"guards"`      // seen true and seen false, each counted
	Outcomes    Covered `json:"outcomes"`    // reported, of those that fire something else than another one
}

// Covered counts things and names those that were not seen.
type Covered struct {
	Seen    int      `json:"seen"`
	Total   int      `json:"total"`
	Missing []string `json:"missing,omitempty"`
}

// Full reports whether nothing is missing.
func (c Covered) Full() bool { return c.Seen == c.Total }

// Full reports whether every state was entered and every transition taken.
func (c Coverage) Full() bool { return c.States.Full() && c.Transitions.Full() }

func (c *Covered) count(seen bool, missing string) {
	c.Total++
	if seen {
		c.Seen++
	} else {
		c.Missing = append(c.Missing, missing)
	}
}

// collector keeps what was seen of one machine.
type collector struct {
	machine     *loaded
	states      map[string]bool
	transitions map[int]bool
	guards      map[guard]bool
	outcomes    map[reported]bool
}

type guard struct {
	transition int
	value      bool
}

type reported struct{ watcher, outcome string }

func newCollector(m *loaded) *collector {
	return &collector{
		machine: m, states: map[string]bool{}, transitions: map[int]bool{}, guards: map[guard]bool{}, outcomes: map[reported]bool{},
	}
}

// record takes what a record shows.
func (c *collector) record(r *machine.Record) {
	c.states[r.To] = true
	for _, g := range r.Guards {
		if g.Error == "" {
			c.guards[guard{g.Transition, g.Value}] = true
		}
	}
	if r.Cause.Kind == machine.CauseWatcher && r.Outcome != "" {
		c.outcomes[reported{r.Cause.Name, r.Outcome}] = true
	}
	if r.Event == "" || r.Kind != machine.RecordTransition && r.Kind != machine.RecordStay {
		return
	}
	if i := c.taken(r); i >= 0 {
		c.transitions[i] = true
	}
}

// taken finds the transition of a record as the engine chose it: the first of its name that leaves the state and
// has no guard, or one that was true.
func (c *collector) taken(r *machine.Record) int {
	for i, t := range c.machine.Manifest.Transitions {
		if t.Name != r.Event || !slices.Contains(t.From, r.From) && !slices.Contains(t.From, "*") {
			continue
		}
		if t.When == "" || slices.ContainsFunc(r.Guards, func(g machine.GuardValue) bool { return g.Transition == i && g.Value }) {
			return i
		}
	}
	return -1
}

// coverage counts what was seen against what there is.
func (c *collector) coverage() Coverage {
	var v Coverage
	for _, s := range c.machine.States() {
		v.States.count(c.states[s], s)
	}
	for i, t := range c.machine.Manifest.Transitions {
		place := fmt.Sprintf("%s (line %d)", t.Name, t.Pos.Line)
		v.Transitions.count(c.transitions[i], place)
		if t.When != "" {
			v.Guards.count(c.guards[guard{i, true}], place+" was never true")
			v.Guards.count(c.guards[guard{i, false}], place+" was never false")
		}
	}
	for i, w := range c.machine.watchers {
		c.watcher(i, w, &v.Outcomes)
	}
	return v
}

// watcher counts the events of a watcher's outcomes: two outcomes that fire one event are covered by either.
func (c *collector) watcher(i int, w *watcher, covered *Covered) {
	var events []string
	seen, first := map[string]bool{}, map[string]string{}
	for _, o := range w.outcomes {
		event := c.machine.EventFor(i, o.Name)
		if event == "" {
			continue
		}
		if first[event] == "" {
			events, first[event] = append(events, event), o.Name
		}
		seen[event] = seen[event] || c.outcomes[reported{w.spec.Name, o.Name}]
	}
	for _, event := range events {
		covered.count(seen[event], w.spec.Name+": "+first[event])
	}
}
