package machine

import "iter"

// table is a definition's transitions by the state that they leave, for the checker, which asks often what looplab answers in half a
// microsecond. It is compiled from the same rules and never decides a live turn. It takes as much room as there are ways out, so that
// a machine of thousands of steps is checked in a time that grows as it does.
type table struct{ ways [][]way }

// way is one rule that leaves a state, by its place among the rules.
type way struct{ rule, to int }

func newTable(d *Definition) *table {
	t := &table{ways: make([][]way, len(d.states))}
	for i := range d.rules {
		for _, s := range d.rules[i].from {
			t.ways[s] = append(t.ways[s], way{rule: i, to: d.rules[i].leads(s)})
		}
	}
	return t
}

// exits returns where the rules that leave a state lead to, guards aside, a state as often as rules lead to it.
func (t *table) exits(state int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, w := range t.ways[state] {
			if !yield(w.to) {
				return
			}
		}
	}
}

// entries returns, for each state, the states from which a rule leads to it.
func (t *table) entries() [][]int {
	from := make([][]int, len(t.ways))
	for s, ways := range t.ways {
		for _, w := range ways {
			from[w.to] = append(from[w.to], s)
		}
	}
	return from
}
