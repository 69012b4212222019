package machine

import "slices"

// The rules of this file hold in strict manifests only: Choria's reading knows no home states, so that nothing can be said of where its
// machines must move.

// lead is an event that a watcher fires for an outcome, "" for none.
type lead struct {
	outcome string
	event   string
	failure bool // something went wrong
	again   bool // the watcher looks again by itself
}

// leads lists what the outcomes of a watcher lead to. The failures that are named under on.fail are not counted as such: there the author
// says that the machine waits for them.
func (c *checker) leads(w int) []lead {
	spec := &c.m.Watchers[w]
	t, _ := findType(spec, c.cat)
	_, waitsForFailure := spec.On[OutcomeFail]
	var list []lead
	for _, o := range reportable(spec, c.cat) {
		l := lead{outcome: o.Name, event: c.d.EventFor(w, o.Name), failure: o.Class == Failure && (t == nil || !t.Clock), again: o.Again}
		if o.Name == OutcomeFail && waitsForFailure {
			l.failure = false
		}
		list = append(list, l)
	}
	return list
}

// reportable are the outcomes of a watcher that its properties allow, those left out that say something of its host.
func reportable(w *WatcherSpec, cat Catalogue) []Outcome {
	t, known := findType(w, cat)
	ownSuccess := false
	if known {
		for _, o := range t.Outcomes {
			ownSuccess = ownSuccess || o.Class == Success
		}
	}
	return slices.DeleteFunc(outcomesOf(w, cat), func(o Outcome) bool {
		switch o.Name {
		case OutcomeTimeout, OutcomeInterrupted, OutcomePanic, OutcomeStarved:
			return true
		case OutcomeSuccess: // types that have names for their successes report those
			return ownSuccess && !slices.ContainsFunc(t.Outcomes, func(o Outcome) bool { return o.Name == OutcomeSuccess })
		}
		return known && !o.allowedBy(t, w)
	})
}

// allowedBy reports whether a watcher can report the outcome with what it does.
func (o *Outcome) allowedBy(t *WatcherType, w *WatcherSpec) bool {
	return (len(o.Of) == 0 || slices.Contains(o.Of, t.Action(w))) && (o.With == "" || w.Properties.Get(o.With) != nil)
}

// nature is what a watcher does.
func (c *checker) nature(w int) Nature {
	if n, asked := c.natures[w]; asked {
		return n
	}
	spec := &c.m.Watchers[w]
	var n Nature
	t, known := findType(spec, c.cat)
	if known && t.Nature != nil {
		n = t.Nature(spec)
	}
	n.Repeats = n.Repeats || spec.Interval > 0 || known && t.Clock
	if c.natures == nil {
		c.natures = map[int]Nature{}
	}
	c.natures[w] = n
	return n
}

// leadsOn reports whether an event changes something that matters in a state: the state, the visit, or data, which a guard may wait for.
// What is only noted there leads nowhere.
func (d *Definition) leadsOn(state int, event string) bool {
	return slices.ContainsFunc(d.byState[state][event], func(i int) bool {
		r := &d.rules[i]
		return r.leads(state) != state || r.reenter || len(r.set) > 0
	})
}

// drivers are the watchers of a state that fire an event that leads on from there.
func (c *checker) drivers(state int) (drivers []int) {
	for _, w := range c.active[state] {
		then := c.m.Watchers[w].Retry
		if slices.ContainsFunc(c.leads(w), func(l lead) bool { return c.d.leadsOn(state, l.event) }) || then != nil && c.d.leadsOn(state, then.Then) {
			drivers = append(drivers, w)
		}
	}
	return drivers
}

// stalls finds states that the machine must leave, and in which every look can be the last without an event: nothing looks again, waits
// for others or has a deadline.
func (c *checker) stalls() {
	if !c.m.Strict() {
		return
	}
	for s, state := range c.d.states {
		if !c.mustMove(s) || len(c.active[s]) == 0 || c.d.hasDeadline(s) || c.subscribed(s) {
			continue
		}
		drivers := c.drivers(s)
		if i := c.stalling(s, drivers); i >= 0 {
			w := &c.m.Watchers[drivers[i]]
			end, sure := c.deadEnd(s, drivers[i])
			report := c.proven
			if !sure {
				report = c.warn
			}
			report("SC423", w.Pos, "name an event for it, give the watcher an interval, or give the state a deadline",
				"the machine can stay in the state %s for ever: after %s of watcher %s nothing happens any more",
				state, end, w.Name)
		} else if len(drivers) == 0 {
			c.proven("SC423", c.firstNamed(state), "name an event for an outcome of a watcher, give the state a deadline, or declare it home in states",
				"the machine stays in the state %s for ever: no watcher that is active there fires an event that leads on", state)
		}
	}
}

// stalling returns a watcher after whose look nothing happens any more, by its place among the drivers, -1 for none. It is one of which that is not sure
// where there is such a one.
func (c *checker) stalling(state int, drivers []int) int {
	last := len(drivers) - 1
	for i := len(drivers) - 1; i >= 0; i-- {
		if n := c.nature(drivers[i]); n.Listens || n.Repeats {
			return -1
		}
		switch end, sure := c.deadEnd(state, drivers[i]); {
		case end == "":
			return -1
		case !sure:
			last = i
		}
	}
	return last
}

// deadEnd names an outcome of a watcher that leads nowhere from a state, "" where none does. It is not sure where guards may be complete in a way that
// cannot be seen.
func (c *checker) deadEnd(state, w int) (end string, sure bool) {
	retry := c.m.Watchers[w].Retry
	for _, l := range c.leads(w) {
		retried := l.failure && retry != nil && c.d.leadsOn(state, retry.Then)
		switch {
		case retried || l.again:
		case !c.d.leadsOn(state, l.event):
			return l.outcome, true
		case end == "" && c.mayBeLost(state, l.event):
			end = l.outcome + ", where no guard of " + l.event + " holds,"
		}
	}
	return end, false
}

// goodPaths finds states that the machine must leave, and from which it comes to rest only where something fails or takes too long.
func (c *checker) goodPaths() {
	if !c.m.Strict() {
		return
	}
	good := make([][]int, len(c.d.states)) // by state: from where it is reached
	rest := make([]bool, len(c.d.states))
	var work []int
	for s, spec := range c.d.specs {
		for _, to := range c.goodWays(s) {
			good[to] = append(good[to], s)
		}
		if rest[s] = spec.Home || spec.Final != "" || !c.comesOn(s); rest[s] {
			work = append(work, s)
		}
	}
	for ; len(work) > 0; work = work[1:] {
		for _, from := range good[work[0]] {
			if !rest[from] {
				rest[from] = true
				work = append(work, from)
			}
		}
	}
	var astray []string
	for s, state := range c.d.states {
		if c.mustMove(s) && !rest[s] {
			astray = append(astray, state)
		}
	}
	if len(astray) > 0 {
		c.proven("SC422", c.firstNamed(astray[0]),
			"have a success lead on, declare a state home, or name a failure that is waited for under on: {fail: EVENT}",
			"from the %s the machine comes to rest only by failures and deadlines", inWords("state", astray))
	}
}

// comesOn reports whether something can take the machine on from a state. Where nothing can, other rules say so.
func (c *checker) comesOn(state int) bool {
	return len(c.drivers(state)) > 0 || c.d.hasDeadline(state) || c.subscribed(state)
}

// goodWays lists where a state leads to while all goes well. Where only others can call and a deadline passes, that is the way on.
func (c *checker) goodWays(state int) (to []int) {
	if c.d.specs[state].Final != "" {
		return nil
	}
	add := func(event string) {
		for _, r := range c.d.byState[state][event] {
			to = append(to, c.d.rules[r].leads(state))
		}
	}
	works := false
	for _, w := range c.drivers(state) {
		works = works || !c.nature(w).Listens
		for _, l := range c.leads(w) {
			if !l.failure {
				add(l.event)
			}
		}
	}
	for _, w := range c.d.table.ways[state] {
		if len(c.m.Transitions[w.rule].Subscribe) > 0 {
			to = append(to, w.to)
		}
	}
	if !works && !slices.ContainsFunc(to, func(t int) bool { return t != state }) {
		for dl := range c.d.deadlines(state) {
			add(dl.Event)
		}
	}
	return to
}

// waits finds states that the machine must leave, and leaves only if others call.
func (c *checker) waits() {
	if !c.m.Strict() {
		return
	}
	for s, state := range c.d.states {
		if !c.mustMove(s) || c.d.hasDeadline(s) || c.subscribed(s) {
			continue
		}
		drivers := c.drivers(s)
		if len(drivers) == 0 || slices.ContainsFunc(drivers, func(w int) bool { return !c.nature(w).Listens }) {
			continue
		}
		var names []string
		for _, w := range drivers {
			names = append(names, c.m.Watchers[w].Name)
		}
		c.note("SC424", c.firstNamed(state), "give the state a deadline, or declare it home in states where the machine may wait for good",
			"the machine waits in the state %s for as long as nobody calls: only %s can end that", state, inWords("watcher", names))
	}
}
