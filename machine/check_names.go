package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/strict"
)

// named reports whether a transition or the states section knows a state. A "*" covers an initial state
// that is written nowhere else, unless the word is close to another.
func (c *checker) named(state string) bool {
	if c.written[state] {
		return true
	}
	_, event := c.d.byName[state]
	return c.anywhere && !event && strict.Nearest(state, c.others(state)) == ""
}

// others returns the states but one.
func (c *checker) others(state string) []string {
	return slices.DeleteFunc(c.d.States(), func(s string) bool { return s == state })
}

// groupNames returns the groups but one that is named as a word.
func (c *checker) groupNames(word string) []string {
	var names []string
	for _, g := range c.m.Groups {
		if g.Name != word {
			names = append(names, g.Name)
		}
	}
	return names
}

func (c *checker) initialState() {
	if initial := c.m.InitialState; initial != "" && !c.named(initial) {
		c.fault("SC401", c.m.place("initial_state"), c.stateHint(initial), "the initial state %q is not a state of this machine", initial)
	}
}

// stateHint says what was probably meant by a word that is not a state.
func (c *checker) stateHint(word string) string {
	if i, event := c.d.byName[word]; event {
		t := &c.m.Transitions[i]
		if t.Stays {
			return word + " is an event, which leads to no other state"
		}
		return fmt.Sprintf("%s is an event; it leads to the state %s", word, t.Destination)
	}
	states := c.others(word)
	if near := strict.Nearest(word, append(c.groupNames(word), states...)); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return hintFor(word, states, "the states are "+strings.Join(states, ", "))
}

// stateMatch finds entries that are no state. One that is an event is an error in both readings; any other
// is tolerated in Choria's while the watcher has a state left to be active in.
func (c *checker) stateMatch() {
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		works := slices.ContainsFunc(w.StateMatch, c.isState)
		seen := make(map[string]bool, len(w.StateMatch))
		for j, state := range w.StateMatch {
			at := w.Place(fmt.Sprintf("state_match.%d", j))
			_, event := c.d.byName[state]
			again := seen[state]
			seen[state] = true
			switch {
			case again:
				c.tolerated("SC418", at, "remove one of them", "watcher %s: state_match names %q twice", w.Name, state)
			case c.isState(state):
			case event:
				c.fault("SC402", at, c.stateHint(state), "watcher %s: state_match names %q, which is an event, not a state", w.Name, state)
			case works:
				c.tolerated("SC403", at, c.stateHint(state), "watcher %s: state_match names %q, which is not a state", w.Name, state)
			default:
				c.fault("SC403", at, c.stateHint(state), "watcher %s: state_match names %q, which is not a state, so that it never runs", w.Name, state)
			}
		}
	}
}

func (c *checker) isState(name string) bool {
	_, known := c.d.index[name]
	return known && c.named(name)
}

func (c *checker) statesSection() {
	for _, s := range c.m.States {
		if _, known := c.d.index[s.Name]; !known {
			c.tolerated("SC403", s.Pos, c.stateHint(s.Name), "no transition leads to or from %q", s.Name)
		}
	}
}

func (c *checker) upgradeTargets() {
	if c.m.Upgrade == nil {
		return
	}
	for old, state := range c.m.Upgrade.Map {
		if !c.isState(state) {
			c.fault("SC415", c.m.place("upgrade.map."+old), c.stateHint(state), "the upgrade maps %q to %q, which is not a state", old, state)
		}
	}
}

// inWords renders names for a sentence: "state a", "states a and b", "states a, b and 3 others".
func inWords(what string, names []string) string {
	const shown = 4
	switch n := len(names); {
	case n == 1:
		return what + " " + names[0]
	case n <= shown:
		return what + "s " + strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("%ss %s and %d others", what, strings.Join(names[:shown-1], ", "), n-shown+1)
	}
}
