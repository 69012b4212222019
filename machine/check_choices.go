package machine

import (
	"fmt"
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/statecraft-io/statecraft/machine/marks"
)

// choices finds transitions that are never taken, because one before them always holds where they could be, and events that are lost where no guard
// holds although they are fired but once.
func (c *checker) choices() {
	if !c.m.Strict() {
		return
	}
	taken := make([]bool, len(c.d.rules)) // or dead whatever stands before it, which another rule says
	behind := make([]int, len(c.d.rules)) // the one before a rule that always holds
	for s := range c.d.states {
		for _, rules := range c.d.byState[s] {
			c.choose(rules, taken, behind)
		}
	}
	for i := range c.d.rules {
		if t := &c.m.Transitions[i]; !taken[i] && len(c.d.rules[i].from) > 0 {
			c.proven("SC425", t.Pos, "mend the guards, or set the data to what they ask for",
				"the transition %s is never taken: what stands before it, up to line %d, always holds when this one could",
				t.Name, c.m.Transitions[behind[i]].Pos.Line)
		}
	}
	c.lostEvents()
}

// choose notes which rules of an event can be taken in one state.
func (c *checker) choose(rules []int, taken []bool, behind []int) {
	ch := chooser{known: copyOf(c.possible())}
	for n, i := range rules {
		when := c.d.rules[i].when
		if n == 0 || ch.mayTake(when) || deadGuard(when, c.possible()) != "" {
			taken[i] = true
		} else {
			behind[i] = rules[n-1]
		}
		ch.pass(when)
	}
}

// chooser goes through the guards of a choice, in order, as if none had held so far.
type chooser struct {
	known  map[string]values
	failed []string // guards that did not hold, as they are written
	ended  bool     // one of them always holds
}

func (ch *chooser) mayTake(when *expression) bool {
	if ch.ended {
		return false
	}
	node := rootOf(when)
	return node == nil || !ch.excluded(node, true) && mayHold(node, copyOf(ch.known))
}

// pass notes that a guard does not hold.
func (ch *chooser) pass(when *expression) {
	if ch.ended {
		return
	}
	if when == nil {
		ch.ended = true
		return
	}
	node := rootOf(when)
	if node == nil {
		return
	}
	ch.ended = ch.excluded(node, false) && !mayFault(node, ch.known) || !mayMiss(node, true, ch.known)
	ch.failed = append(ch.failed, node.String())
}

// excluded reports whether a guard cannot be as asked, because the same or its opposite has failed before.
func (ch *chooser) excluded(node ast.Node, holds bool) bool {
	if holds {
		return slices.Contains(ch.failed, node.String())
	}
	if not, ok := node.(*ast.UnaryNode); ok && (not.Operator == "not" || not.Operator == "!") && slices.Contains(ch.failed, not.Node.String()) {
		return true
	}
	text := node.String()
	return slices.ContainsFunc(ch.failed, func(f string) bool {
		return f == "not "+text || f == "!"+text || f == "not ("+text+")" || f == "!("+text+")"
	})
}

// root is the expression whose value the assignment sets, nil where it is none.
func (a *assignment) root() ast.Node {
	if a.value.Kind != marks.Expression {
		return nil
	}
	return rootOf(a.exprs[0])
}

func rootOf(when *expression) ast.Node {
	if when == nil || when.err != nil || when.program == nil {
		return nil
	}
	return when.program.Node()
}

// mayBeLost reports whether all transitions of an event from a state have guards, and none may hold.
func (c *checker) mayBeLost(state int, event string) bool {
	rules := c.d.byState[state][event]
	ch := chooser{known: copyOf(c.possible())}
	for _, i := range rules {
		ch.pass(c.d.rules[i].when)
	}
	return len(rules) > 0 && !ch.ended
}

// lostEvents finds events that are fired once in a state that the machine must leave, and are taken there only if a guard holds. What looks again
// by itself, or is called again, fires again.
func (c *checker) lostEvents() {
	for s, state := range c.d.states {
		if !c.mustMove(s) {
			continue
		}
		for dl := range c.d.deadlines(s) {
			if c.mayBeLost(s, dl.Event) {
				c.warn("SC420", dl.Pos, "add a transition without a guard behind them",
					"the deadline of %s in the state %s is lost where no guard of %s holds", dl.After, state, dl.Event)
			}
		}
		if !c.d.hasDeadline(s) {
			continue // another rule says that the machine can stay there for ever
		}
		for _, w := range c.drivers(s) {
			if n := c.nature(w); n.Listens || n.Repeats {
				continue
			}
			for _, l := range c.leads(w) {
				if !l.again && c.mayBeLost(s, l.event) {
					c.warn("SC420", c.m.Watchers[w].Pos, "add a transition without a guard behind them",
						"what watcher %s has found is lost in the state %s where no guard of %s holds, and it does not look again", c.m.Watchers[w].Name, state, l.event)
					break
				}
			}
		}
	}
}

// endless finds cycles that a counter is to end, and that do not change it: a transition whose guard allows so many more, and that comes back to where
// it is asked again without the counter being another.
func (c *checker) endless() {
	if !c.m.Strict() {
		return
	}
	steps := c.counters()
	others := c.watcherKeys()
	if others[AnyKey] {
		return
	}
	for i := range c.d.rules {
		r := &c.d.rules[i]
		key, up := boundOf(rootOf(r.when))
		if key == "" || others[key] || steps[key] == 0 || (steps[key] > 0) != up || sets(r, key) || !c.firedEvents[r.name] {
			continue
		}
		for _, s := range r.from {
			if c.reachable[s] && r.leads(s) != s && c.endlessFrom(i, s, key) {
				t := &c.m.Transitions[i]
				c.warn("SC426", t.place("when"), fmt.Sprintf("change data.%s on the way, such as set: {%s: data.%s + 1}", key, key, key),
					"the transition %s can be taken for ever: its guard bounds data.%s, and nothing changes that until the machine is in the state %s again",
					t.Name, key, c.d.states[s])
				break
			}
		}
	}
}

// counters are the keys that a transition raises or lowers, with the last step.
func (c *checker) counters() map[string]float64 {
	steps := map[string]float64{}
	for i := range c.d.rules {
		for _, a := range c.d.rules[i].set {
			if by, ok := stepOf(sumOf(a.root()), a.key); ok {
				steps[a.key] = by
			}
		}
	}
	return steps
}

// boundOf is the key that a guard bounds with a number: from above, or from below. "" where it bounds none.
func boundOf(node ast.Node) (key string, above bool) {
	n, ok := node.(*ast.BinaryNode)
	if !ok {
		return "", false
	}
	if n.Operator == "&&" || n.Operator == "and" {
		if key, above = boundOf(n.Left); key == "" {
			key, above = boundOf(n.Right)
		}
		return key, above
	}
	if literal, ok := literalOf(n.Right); !ok || dataKey(n.Left) == "" {
		return "", false
	} else if _, isNumber := number(literal); !isNumber {
		return "", false
	}
	switch n.Operator {
	case "<", "<=":
		return dataKey(n.Left), true
	case ">", ">=":
		return dataKey(n.Left), false
	}
	return "", false
}

// sets reports whether a rule gives a key another value than it has.
func sets(r *rule, key string) bool {
	return slices.ContainsFunc(r.set, func(a assignment) bool {
		return a.key == key && (a.root() == nil || dataKey(a.root()) != key)
	})
}

// endlessFrom reports whether the machine comes back to a state from behind a rule, and nothing on any way back changes the key, or in the state itself.
func (c *checker) endlessFrom(i, state int, key string) bool {
	for _, w := range c.d.table.ways[state] {
		if w.to == state && sets(&c.d.rules[w.rule], key) {
			return false
		}
	}
	seen := map[int]bool{}
	back := false
	for work := []int{c.d.rules[i].leads(state)}; len(work) > 0; work = work[1:] {
		s := work[0]
		back = back || s == state
		if s == state || seen[s] {
			continue
		}
		seen[s] = true
		for _, w := range c.d.table.ways[s] {
			r := &c.d.rules[w.rule]
			if !c.firedEvents[r.name] {
				continue // an operator may begin anew
			}
			if sets(r, key) {
				return false
			}
			work = append(work, w.to)
		}
	}
	return back
}
