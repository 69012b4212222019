package machine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// promptMove is where a watcher may take the machine as soon as a state is entered: it looks at once, and nothing keeps its outcome back.
type promptMove struct {
	watcher int
	event   string
	to      int
}

// promptMoves lists them by state. What waits is no such move: an interval (which holds across visits), a splay, a guard, a retry of what
// has failed, and the types that wait for somebody or for a time. A guarded transition may be one that counts, and is left out, too.
func (c *checker) promptMoves() [][]promptMove {
	prompt := make([]bool, len(c.m.Watchers))
	for w := range prompt {
		prompt[w] = c.prompt(w)
	}
	moves := make([][]promptMove, len(c.d.states))
	for s := range moves {
		if !c.reachable[s] || c.d.specs[s].Final != "" {
			continue
		}
		for _, w := range c.active[s] {
			if prompt[w] {
				moves[s] = append(moves[s], c.promptMovesOf(w, s)...)
			}
		}
	}
	return moves
}

func (c *checker) promptMovesOf(w, state int) (moves []promptMove) {
	for _, f := range c.firings[w] {
		if !c.heldBack(w, f.key) {
			if to, moved, ok := c.d.unguarded(state, f.event); ok && moved {
				moves = append(moves, promptMove{watcher: w, event: f.event, to: to})
			}
		}
	}
	return moves
}

// heldBack reports whether an event comes only after a while: after tries, or a time-out.
func (c *checker) heldBack(w int, key string) bool {
	switch key {
	case "on." + OutcomeTimeout, "on." + OutcomeInterrupted, "on." + OutcomePanic, "retry.then":
		return true
	case "fail_transition":
		return c.m.Watchers[w].Retry != nil
	default:
		return false
	}
}

// prompt reports whether a watcher looks once on entry and says at once what it has found.
func (c *checker) prompt(w int) bool {
	spec := &c.m.Watchers[w]
	if spec.Interval > 0 || spec.Splay > 0 || spec.When != "" || len(spec.ForeignStateRequired) > 0 {
		return false
	}
	return c.nature(w).Prompt
}

// unguarded returns where an event leads from a state whatever guards say, and whether that is a new visit.
func (d *Definition) unguarded(state int, event string) (to int, moved, ok bool) {
	for _, i := range d.byState[state][event] {
		if d.Manifest.Transitions[i].When == "" {
			r := &d.rules[i]
			to := r.leads(state)
			return to, to != state || r.reenter, true
		}
	}
	return 0, false, false
}

// turns finds states that send the machine in a circle without a pause. Its brake slows it then. Who has written a max_rate knows of it.
func (c *checker) turns() {
	c.d.prompt = c.promptMoves()
	if !c.m.Brake.assumed() {
		return
	}
	w := &turnWalk{moves: c.d.prompt, seen: make([]bool, len(c.d.states)), on: make([]int, len(c.d.states)), told: make([]bool, len(c.d.states))}
	for s := range c.d.states {
		w.from(s)
	}
	for _, circle := range w.circles {
		c.list.Add(diag.Warning, "SC419", c.m.Watchers[circle[0].watcher].Pos,
			"let time pass between them: an interval, a retry in place of a fail_transition, a timer; or write a max_rate if it is to be fast",
			"the machine can turn without a pause: %s, and so on", c.circleInWords(circle))
	}
}

// turnWalk goes each prompt move once, and keeps the circles that have no state in common with one before.
type turnWalk struct {
	moves   [][]promptMove
	seen    []bool
	on      []int // 1 + how many moves of the way lead to the state, 0 where it is not on the way
	told    []bool
	way     []promptMove
	circles [][]promptMove
}

func (w *turnWalk) from(state int) {
	if w.seen[state] {
		return
	}
	w.seen[state], w.on[state] = true, len(w.way)+1
	for _, m := range w.moves[state] {
		w.way = append(w.way, m)
		if begins := w.on[m.to]; begins > 0 {
			w.keep(w.way[begins-1:])
		} else {
			w.from(m.to)
		}
		w.way = w.way[:len(w.way)-1]
	}
	w.on[state] = 0
}

func (w *turnWalk) keep(circle []promptMove) {
	if slices.ContainsFunc(circle, func(m promptMove) bool { return w.told[m.to] }) {
		return
	}
	for _, m := range circle {
		w.told[m.to] = true
	}
	w.circles = append(w.circles, slices.Clone(circle))
}

func (c *checker) circleInWords(circle []promptMove) string {
	var words []string
	state := circle[len(circle)-1].to
	for _, m := range circle {
		words = append(words, fmt.Sprintf("in %s watcher %s fires %s", c.d.states[state], c.m.Watchers[m.watcher].Name, m.event))
		state = m.to
	}
	return strings.Join(words, ", ")
}
