package machine

// instantCycles finds states that follow each other without any time passing. Only what is certain to
// go on counts: every state of the cycle has an active watcher whose look takes no time and that waits for
// nothing, and each outcome of that look leaves the state without a guard for a state of the same kind. What takes time (a
// process, a request, a timer) may loop as fast as it likes; max_rate is for that.
func (c *checker) instantCycles() {
	moves := map[int]instantMove{}
	for s := range c.d.states {
		if m, ok := c.instantMove(s); ok && c.reachable[s] {
			moves[s] = m
		}
	}
	entries := map[int][]int{}
	var ends []int // states that lead to one where time passes
	for s, m := range moves {
		for _, to := range m.to {
			entries[to] = append(entries[to], s)
			if _, stays := moves[to]; !stays {
				ends = append(ends, s)
			}
		}
	}
	for ; len(ends) > 0; ends = ends[1:] {
		if _, stays := moves[ends[0]]; stays {
			delete(moves, ends[0])
			ends = append(ends, entries[ends[0]]...)
		}
	}
	if len(moves) == 0 {
		return
	}
	var states []string
	first := -1
	for s, name := range c.d.states {
		if _, ok := moves[s]; ok {
			states = append(states, name)
			if first < 0 {
				first = s
			}
		}
	}
	w := &c.m.Watchers[moves[first].watcher]
	c.tolerated("SC411", w.Pos, "give one of the outcomes no event, or add a deadline or a timer between the states",
		"no time passes in %s: watcher %s fires as soon as it is entered, whatever it finds", inWords("state", states), w.Name)
}

// instantMove is where a watcher takes the machine as soon as a state is entered.
type instantMove struct {
	watcher int
	to      []int
}

func (c *checker) instantMove(state int) (instantMove, bool) {
	for _, i := range c.active[state] {
		w := &c.m.Watchers[i]
		t, known := findType(w, c.cat)
		if !known || !t.Instant || w.When != "" || w.Splay > 0 || len(w.ForeignStateRequired) > 0 {
			continue
		}
		m := instantMove{watcher: i}
		if c.alwaysLeaves(state, c.d.EventFor(i, OutcomeSuccess), &m) && c.alwaysLeaves(state, c.d.EventFor(i, OutcomeFail), &m) {
			return m, true
		}
	}
	return instantMove{}, false
}

// alwaysLeaves reports whether an event is certain to begin a new visit, and adds of what.
func (c *checker) alwaysLeaves(state int, event string, m *instantMove) bool {
	rules := c.d.byState[state][event]
	if len(rules) == 0 {
		return false
	}
	r := &c.d.rules[rules[0]]
	to := r.leads(state)
	m.to = append(m.to, to)
	return c.m.Transitions[rules[0]].When == "" && (to != state || r.reenter)
}
