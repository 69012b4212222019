package machine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// firing is an event that a watcher can fire, and where the manifest says so.
type firing struct {
	event string
	key   string // of the watcher, such as success_transition or on.changed, or "its type"
	at    diag.Position
}

// firingsOf lists the events that a watcher can fire.
func firingsOf(w *WatcherSpec, cat Catalogue) []firing {
	var list []firing
	add := func(event, key string) {
		if event != "" {
			list = append(list, firing{event: event, key: key, at: w.Place(key)})
		}
	}
	add(w.SuccessTransition, "success_transition")
	add(w.FailTransition, "fail_transition")
	for _, outcome := range slices.Sorted(maps.Keys(w.On)) {
		add(w.On[outcome], "on."+outcome)
	}
	if w.Retry != nil {
		add(w.Retry.Then, "retry.then")
	}
	for _, o := range outcomesOf(w, cat) {
		if _, renamed := w.On[o.Name]; !renamed && o.Event != "" {
			list = append(list, firing{event: o.Event, key: "its type", at: w.Place("type")})
		}
	}
	return list
}

// takes reports whether a state has a transition for an event.
func (d *Definition) takes(state int, event string) bool { return len(d.byState[state][event]) > 0 }

// events returns the names of all transitions, each once, in the order of the manifest.
func (d *Definition) events() []string {
	var names []string
	for i, r := range d.rules {
		if d.byName[r.name] == i {
			names = append(names, r.name)
		}
	}
	return names
}

// unknownEvents finds events that no transition is named after.
func (c *checker) unknownEvents() {
	for i, w := range c.m.Watchers {
		for _, f := range c.firings[i] {
			c.knownEvent(f.event, f.at, "watcher %s: %s names the event %q, which no transition has", w.Name, f.key, f.event)
		}
	}
	for _, s := range c.m.States {
		for _, dl := range s.After {
			c.knownEvent(dl.Event, dl.Pos, "state %s: its deadline names the event %q, which no transition has", s.Name, dl.Event)
		}
	}
	for _, g := range c.m.Groups {
		for _, dl := range g.After {
			c.knownEvent(dl.Event, dl.Pos, "the group %s: its deadline names the event %q, which no transition has", g.Name, dl.Event)
		}
	}
}

func (c *checker) knownEvent(event string, at diag.Position, format string, args ...any) {
	if _, known := c.d.byName[event]; !known {
		c.fault("SC404", at, hintFor(event, c.d.events(), "add a transition of this name"), format, args...)
	}
}

// unfired finds transitions that only an operator can fire, which may well be meant. While something
// fires an event that does not exist, any transition may be the one that it was to fire.
func (c *checker) unfired() {
	for event := range c.firedEvents {
		if _, known := c.d.byName[event]; !known {
			return
		}
	}
	for _, event := range c.d.events() {
		if !c.firedEvents[event] {
			t := &c.m.Transitions[c.d.byName[event]]
			c.note("SC412", t.place("name"), "nothing to do if operators are to fire it", "nothing fires %q but an operator", event)
		}
	}
}

// fired returns the events that watchers, deadlines and subscriptions fire.
func (c *checker) fired() map[string]bool {
	fired := map[string]bool{}
	for _, list := range c.firings {
		for _, f := range list {
			fired[f.event] = true
		}
	}
	for _, s := range c.m.States {
		for _, dl := range s.After {
			fired[dl.Event] = true
		}
	}
	for _, g := range c.m.Groups {
		for _, dl := range g.After {
			fired[dl.Event] = true
		}
	}
	for _, t := range c.m.Transitions {
		if len(t.Subscribe) > 0 {
			fired[t.Name] = true
		}
	}
	return fired
}

// untakenEvents finds events that a watcher fires in a state where nothing takes them: a finding of the
// watcher is lost there.
func (c *checker) untakenEvents() {
	for i, w := range c.m.Watchers {
		for _, f := range c.firings[i] {
			if _, known := c.d.byName[f.event]; !known {
				continue
			}
			if states := c.untaken(i, f.event); len(states) > 0 {
				c.list.Add(c.lossOf(i, f.event, states), "SC410", f.at, "add a transition from there, or leave the state out of state_match",
					"watcher %s fires %q in %s, where no transition takes it", w.Name, f.event, inWords("state", states))
			}
		}
	}
}

// lossOf grades an event that is not taken in some states. Format 1 has no room for it. In Choria's reading
// a watcher that spans states so that each takes one of its events - a schedule's end, say, in the state
// that its start led to - is common and no more than a note.
func (c *checker) lossOf(w int, event string, states []string) diag.Severity {
	useless := func(state string) bool {
		s := c.d.index[state]
		return !slices.ContainsFunc(c.firings[w], func(f firing) bool { return c.d.takes(s, f.event) })
	}
	taken := false
	for s := range c.d.watchers[w].states() {
		taken = taken || c.d.takes(s, event)
	}
	if c.m.Strict() || !taken || slices.ContainsFunc(states, useless) {
		return c.m.tolerance()
	}
	return diag.Note
}

// untaken lists the states in which a watcher is active and an event is not taken. An event that says what
// the state already is - "off" in the state off - loses nothing, and Choria's users rely on that.
func (c *checker) untaken(w int, event string) []string {
	var states []string
	for s := range c.d.watchers[w].states() {
		if !c.reachable[s] || c.d.specs[s].Final != "" || c.d.takes(s, event) {
			continue
		}
		if c.m.Strict() || !c.leadsOnlyTo(event, s) {
			states = append(states, c.d.states[s])
		}
	}
	return states
}

func (c *checker) leadsOnlyTo(event string, state int) bool {
	return !slices.ContainsFunc(c.d.rules, func(r rule) bool { return r.name == event && r.dest != state })
}

// untakenDeadlines finds deadlines whose event the state itself, or one of the group's states, does not take.
func (c *checker) untakenDeadlines() {
	for i := range c.m.Groups {
		for _, dl := range c.m.Groups[i].After {
			c.untakenInGroup(&c.m.Groups[i], dl)
		}
	}
	for _, s := range c.m.States {
		i, known := c.d.index[s.Name]
		if !known || !c.reachable[i] || s.Final != "" {
			continue
		}
		for _, dl := range s.After {
			if _, exists := c.d.byName[dl.Event]; exists && !c.d.takes(i, dl.Event) {
				c.tolerated("SC416", dl.Pos, "add a transition from "+s.Name, "the deadline of state %s fires %q, which no transition takes there", s.Name, dl.Event)
			}
		}
	}
}

func (c *checker) untakenInGroup(g *Group, dl Deadline) {
	if _, exists := c.d.byName[dl.Event]; !exists {
		return
	}
	var states []string
	for _, name := range g.States {
		s, known := c.d.index[name]
		if known && c.reachable[s] && c.d.specs[s].Final == "" && !c.d.takes(s, dl.Event) {
			states = append(states, name)
		}
	}
	if len(states) > 0 {
		c.tolerated("SC416", dl.Pos, fmt.Sprintf("add a transition from there, or one from the group: {name: %s, from: [%s], ...}", dl.Event, g.Name),
			"the deadline of the group %s fires %q, which no transition takes in %s", g.Name, dl.Event, inWords("state", states))
	}
}
