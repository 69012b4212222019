package machine

import (
	"fmt"
	"slices"
)

// rivals are two transitions of one event, by their places in the manifest.
type rivals struct{ first, second int }

// competing finds transitions of one event that leave one state where the first always holds when it is
// asked, so that the second is never taken.
func (c *checker) competing() {
	contested := map[rivals][]string{}
	for s, events := range c.d.byState {
		for _, indices := range events {
			for n, i := range indices {
				if j := c.rival(i, indices[n+1:]); j >= 0 {
					r := rivals{first: i, second: j}
					contested[r] = append(contested[r], c.d.states[s])
				}
			}
		}
	}
	for r, states := range contested {
		c.reportRivals(r, states)
	}
}

// rival returns the first of the later transitions that i leaves no chance, -1 for none.
func (c *checker) rival(i int, later []int) int {
	when := c.m.Transitions[i].When
	for _, j := range later {
		if when == "" || when == c.m.Transitions[j].When {
			return j
		}
	}
	return -1
}

func (c *checker) reportRivals(r rivals, states []string) {
	first, second := &c.m.Transitions[r.first], &c.m.Transitions[r.second]
	where := inWords("state", states)
	if sameEffect(first, second) {
		c.tolerated("SC406", second.Pos, "remove one of them",
			"the transition %s from %s is already on line %d", second.Name, where, first.Pos.Line)
		return
	}
	c.fault("SC405", second.Pos, fmt.Sprintf("give the one on line %d a when, or rename one of them", first.Pos.Line),
		"the transition %s %s is never taken from %s: the one %s on line %d comes first and is not told apart by a guard",
		second.Name, second.whereto("to "), where, first.whereto("to "), first.Pos.Line)
}

// staying says where a transition stays that changes no state.
func (t *Transition) staying() string {
	if t.Stays {
		return "stays where it is"
	}
	return "stays in " + t.Destination
}

// whereto names the destination of a transition behind a word.
func (t *Transition) whereto(word string) string {
	if t.Stays {
		return "that stays"
	}
	return word + t.Destination
}

func sameEffect(a, b *Transition) bool {
	sameSet := slices.EqualFunc(a.Set, b.Set, func(x, y Assignment) bool { return x.Key == y.Key && x.Value.Same(y.Value) })
	sameClear := slices.EqualFunc(a.Clear, b.Clear, func(x, y ClearedKey) bool { return x.Key == y.Key })
	return a.Destination == b.Destination && a.Stays == b.Stays && sameClear && a.When == b.When && a.Reenter == b.Reenter && a.Quiet == b.Quiet && sameSet
}

// repeatedSources finds a source that one transition names twice.
func (c *checker) repeatedSources() {
	for i := range c.m.Transitions {
		t := &c.m.Transitions[i]
		seen := make(map[string]bool, len(t.From))
		for j, from := range t.From {
			if seen[from] {
				c.tolerated("SC406", t.sourcePlace(j), "remove one of them", "the transition %s names the source %q twice", t.Name, from)
			}
			seen[from] = true
		}
	}
}

// announced finds transitions that say whether they are published, where none of them ever is.
func (c *checker) announced() {
	for i := range c.m.Transitions {
		t := &c.m.Transitions[i]
		place, written := t.places["announce"]
		changes := slices.ContainsFunc(c.d.rules[i].from, func(s int) bool { return s != c.d.rules[i].leads(s) })
		if written && !changes {
			c.tolerated("SC417", place, "remove it", "the transition %s %s, and only a change of state is ever published", t.Name, t.staying())
		}
	}
}

// finalStates finds ways out of states that are declared to have none. A "*" does not count: it is meant
// for the states that a machine can be taken out of.
func (c *checker) finalStates() {
	for i := range c.m.Transitions {
		t := &c.m.Transitions[i]
		for j, from := range t.From {
			if s, known := c.d.index[from]; known && c.d.specs[s].Final != "" {
				c.tolerated("SC413", t.sourcePlace(j), "remove it here, or remove final from the state",
					"the transition %s leaves %s, which is final", t.Name, from)
			}
		}
	}
	for _, s := range c.m.States {
		if s.Final != "" && len(s.After) > 0 {
			c.tolerated("SC413", s.After[0].Pos, "remove the deadline, or remove final from the state", "the final state %s has a deadline", s.Name)
		}
	}
}

// finalWatchers finds watchers that are asked for in a state in which the machine has ended.
func (c *checker) finalWatchers() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		for j, state := range w.StateMatch {
			if s, known := c.d.index[state]; known && c.d.specs[s].Final != "" {
				c.tolerated("SC414", w.Place(fmt.Sprintf("state_match.%d", j)), "remove it here, or remove final from the state",
					"watcher %s is to run in %s, which is final", w.Name, state)
			}
		}
	}
}
