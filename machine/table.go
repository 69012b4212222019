package machine

import "iter"

// table is the dense form of a definition, for the checker, which asks often what looplab answers in half a
// microsecond. It is compiled from the same rules and never decides a live turn.
type table struct {
	next  []int16 // [state*rules + rule]: the state after the rule, -1 where it does not apply
	rules int
}

func newTable(d *Definition) *table {
	t := &table{rules: len(d.rules), next: make([]int16, len(d.states)*len(d.rules))}
	for i := range t.next {
		t.next[i] = -1
	}
	for i := range d.rules {
		for _, s := range d.rules[i].from {
			t.next[s*t.rules+i] = int16(d.rules[i].to)
		}
	}
	return t
}

// fire returns the state after a rule, and false where the rule does not leave the state.
func (t *table) fire(state, rule int) (int, bool) {
	to := t.next[state*t.rules+rule]
	return int(to), to >= 0
}

// exits returns where the rules that leave a state lead to, guards aside, a state as often as rules lead to it.
func (t *table) exits(state int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for rule := range t.rules {
			if to, ok := t.fire(state, rule); ok && !yield(to) {
				return
			}
		}
	}
}
