package machine

import (
	"slices"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// reach returns the states that can be entered from one, itself included, whatever guards say.
func (d *Definition) reach(from int) []bool {
	seen := make([]bool, len(d.states))
	seen[from] = true
	for work := []int{from}; len(work) > 0; {
		state := work[len(work)-1]
		work = work[:len(work)-1]
		if d.specs[state].Final != "" {
			continue
		}
		for to := range d.table.exits(state) {
			if !seen[to] {
				seen[to] = true
				work = append(work, to)
			}
		}
	}
	return seen
}

// canRest returns the states from which a final or a home state can be reached, or which are one.
func (d *Definition) canRest() []bool {
	rest, entries := make([]bool, len(d.states)), d.table.entries()
	var work []int
	for s, spec := range d.specs {
		if rest[s] = spec.Home || spec.Final != ""; rest[s] {
			work = append(work, s)
		}
	}
	for len(work) > 0 {
		s := work[len(work)-1]
		work = work[:len(work)-1]
		for _, from := range entries[s] {
			if !rest[from] {
				rest[from] = true
				work = append(work, from)
			}
		}
	}
	return rest
}

// hasExit reports whether a transition leads from a state to another.
func (d *Definition) hasExit(state int) bool {
	for to := range d.table.exits(state) {
		if to != state {
			return true
		}
	}
	return false
}

// firstNamed returns where a state is named first in the transitions, else the initial state's place.
func (c *checker) firstNamed(state string) diag.Position {
	for i := range c.m.Transitions {
		t := &c.m.Transitions[i]
		if j := slices.Index(t.From, state); j >= 0 {
			return t.sourcePlace(j)
		}
		if t.Destination == state {
			return t.place("destination")
		}
	}
	return c.m.place("initial_state")
}

// unreachable finds states that no sequence of events leads to. One that is written like an event is more
// than untidy: the transition was meant to leave another state.
func (c *checker) unreachable() {
	for s, state := range c.d.states {
		if c.reachable[s] {
			continue
		}
		_, event := c.d.byName[state]
		if event && !c.isDestination(s) {
			c.fault("SC402", c.firstNamed(state), c.stateHint(state), "%q is an event, not a state", state)
			continue
		}
		c.tolerated("SC407", c.firstNamed(state), hintFor(state, append(c.others(state), c.groupNames(state)...), "add a transition to it, or remove it"),
			"the state %s can never be reached", state)
	}
}

func (c *checker) isDestination(state int) bool {
	return slices.ContainsFunc(c.d.rules, func(r rule) bool { return r.dest == state })
}

// traps finds transitions into states from which neither a final nor a home state can be reached. Choria
// knows neither kind of state, so in its reading a machine that goes on working somewhere is not trapped:
// only a state that has no way out and in which no watcher is active is reported there.
func (c *checker) traps() {
	if !c.m.Strict() {
		c.deadEnds()
		return
	}
	rest := c.d.canRest()
	if !rest[0] {
		c.fault("SC408", c.m.place("initial_state"), "declare where the machine may rest: {home: true} or {final: success} in states",
			"no final or home state can be reached")
		return
	}
	for i := range c.d.rules {
		r := &c.d.rules[i]
		enters := slices.ContainsFunc(r.from, func(s int) bool { return rest[s] && c.reachable[s] })
		if enters && r.dest >= 0 && !rest[r.dest] {
			to := c.d.states[r.dest]
			c.fault("SC408", c.m.Transitions[i].place("destination"),
				hintFor(to, c.others(to), "add a way back, or declare the state home or final in states"),
				"the state %s is a trap: no final or home state can be reached from it", to)
		}
	}
}

func (c *checker) deadEnds() {
	for s, state := range c.d.states {
		if c.mustMove(s) && !c.d.hasExit(s) && c.quiet(s) {
			c.warn("SC408", c.firstNamed(state), hintFor(state, c.others(state), "add a way out, or declare it final in states"),
				"the state %s has no way out and no watcher is active in it", state)
		}
	}
}

// mustMove reports whether a machine can come into a state that it is not meant to rest in.
func (c *checker) mustMove(state int) bool {
	spec := c.d.specs[state]
	return c.reachable[state] && spec.Final == "" && !spec.Home
}

// quiet reports whether nothing happens in a state by itself: no watcher, no deadline, no subscription. While
// a watcher names a state that does not exist, any state may be the one that it was to be active in.
func (c *checker) quiet(state int) bool {
	return !c.misplaced && len(c.active[state]) == 0 && !c.d.hasDeadline(state) && !c.subscribed(state)
}

// subscribed reports whether what another machine does can take the machine out of a state.
func (c *checker) subscribed(state int) bool {
	return slices.ContainsFunc(c.d.table.ways[state], func(w way) bool { return len(c.m.Transitions[w.rule].Subscribe) > 0 })
}

// silentStates finds states that only an operator can take the machine out of. In Choria's reading that
// is a common way to write maintenance, and no more than a note.
func (c *checker) silentStates() {
	severity := diag.Note
	if c.m.Strict() {
		severity = diag.Error
	}
	for s, state := range c.d.states {
		if c.mustMove(s) && c.d.hasExit(s) && c.quiet(s) {
			c.list.Add(severity, "SC409", c.firstNamed(state), "add a watcher or a deadline, or declare the state home in states",
				"nothing happens in the state %s until an operator acts: no watcher, deadline or subscription is active", state)
		}
	}
}

// idleWatchers finds watchers whose states are never reached, or that wait for what cannot be.
func (c *checker) idleWatchers() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		known := slices.ContainsFunc(w.StateMatch, c.isState)
		runs := slices.ContainsFunc(w.StateMatch, func(state string) bool {
			s, ok := c.d.index[state]
			return ok && c.reachable[s]
		})
		if known && !runs {
			c.tolerated("SC211", w.Place("state_match"), "name a state that the machine comes into",
				"watcher %s never runs: none of its states can be reached", w.Name)
		}
		c.contradiction(w)
	}
}

// contradiction finds a machine that is required to be in two states, which never are both current.
func (c *checker) contradiction(w *WatcherSpec) {
	required := map[string]string{}
	for _, f := range w.ForeignStateRequired {
		if other, twice := required[f.Machine]; twice && other != f.State {
			c.tolerated("SC211", f.Pos, "all of foreign_state_required must hold; use a watcher for each state",
				"watcher %s never runs: the machine %s cannot be in %s and in %s", w.Name, f.Machine, other, f.State)
		}
		required[f.Machine] = f.State
	}
}
