package machine

import "slices"

// spanning is from how many states on a watcher holds something over a part of the machine, rather than looking in a few states.
const spanning = 3

// holes finds states in which a watcher that spans several pauses for a moment: it is active in every state before and in every state
// behind, so that what it holds - a connection, a subscription - is given up and taken anew in the midst of what it is for. Nobody means
// that: the state was added later. A state that only operators lead to, such as maintenance, is meant to be outside, and so may be one that
// leads back to where the machine came from.
func (c *checker) holes() {
	if !c.m.Strict() {
		return
	}
	entries := c.d.table.entries()
	for i := range c.m.Watchers {
		w := &c.m.Watchers[i]
		if len(w.StateMatch) == 0 || c.spans(i) < spanning || !c.nature(i).Listens {
			continue
		}
		for _, s := range c.pauses(i, entries) {
			c.warn("SC421", w.Place("state_match"), "add "+c.d.states[s]+" to "+c.wherever(w),
				"watcher %s pauses in the state %s: it is active in every state before and behind", w.Name, c.d.states[s])
		}
	}
}

// wherever names the place in which a state is to be added: a group that the watcher spans, where there is one.
func (c *checker) wherever(w *WatcherSpec) string {
	var widest *Group
	for i := range c.m.Groups {
		g := &c.m.Groups[i]
		outside := func(state string) bool { return !slices.Contains(w.StateMatch, state) }
		if len(g.States) >= spanning && !slices.ContainsFunc(g.States, outside) && (widest == nil || len(g.States) > len(widest.States)) {
			widest = g
		}
	}
	if widest == nil {
		return "its state_match"
	}
	return "the group " + widest.Name + ", or to its state_match"
}

// pauses lists the holes of a watcher, of the states that its own lead to.
func (c *checker) pauses(w int, entries [][]int) []int {
	rule := &c.d.watchers[w]
	var candidates []int
	for s := range rule.states() {
		for to := range c.d.table.exits(s) {
			if !rule.isActive(to) && c.reachable[to] && c.d.specs[to].Final == "" {
				candidates = append(candidates, to)
			}
		}
	}
	slices.Sort(candidates)
	return slices.DeleteFunc(slices.Compact(candidates), func(s int) bool { return !c.isHole(rule, s, entries[s]) })
}

// spans counts the states of a watcher.
func (c *checker) spans(w int) (n int) {
	for range c.d.watchers[w].states() {
		n++
	}
	return n
}

func (c *checker) isHole(rule *watcherRule, s int, entries []int) bool {
	outside := func(other int) bool { return other != s && !rule.isActive(other) }
	if slices.ContainsFunc(entries, outside) || !c.entered(s) {
		return false
	}
	behind := false
	for to := range c.d.table.exits(s) {
		if c.d.specs[to].Final != "" || to == s {
			continue
		}
		if !rule.isActive(to) {
			return false
		}
		behind = behind || !slices.Contains(entries, to)
	}
	return behind
}

// entered reports whether something else than an operator takes the machine into a state, from another one.
func (c *checker) entered(state int) bool {
	elsewhere := func(from int) bool { return from != state }
	return slices.ContainsFunc(c.d.rules, func(r rule) bool {
		return r.dest == state && c.firedEvents[r.name] && slices.ContainsFunc(r.from, elsewhere)
	})
}
