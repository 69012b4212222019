package machine

import (
	"context"
	"errors"
	"sync"

	"github.com/looplab/fsm"
)

// engine is the transition engine of every live turn: one looplab FSM for all machines of a definition,
// moved to the machine's state before each event. Making one for each step costs five times as much.
//
// Three of looplab's habits shape it. A cancelled context leaves an FSM that refuses everything, so it is
// given the background one. Of two rules with one event and source it silently keeps the last, so every
// rule is an event of its own. It knows no "*", so sources are expanded when compiled.
type engine struct {
	mu  sync.Mutex
	fsm *fsm.FSM
}

func newEngine(d *Definition) *engine {
	events := make([]fsm.EventDesc, 0, len(d.rules))
	for i := range d.rules {
		r := &d.rules[i]
		for _, s := range r.from {
			events = append(events, fsm.EventDesc{Name: r.event, Src: []string{d.states[s]}, Dst: d.states[r.leads(s)]})
		}
	}
	return &engine{fsm: fsm.NewFSM(d.states[0], events, nil)}
}

// fire takes an internal event in a state and returns the state after it, or why it is not taken.
func (e *engine) fire(state, event string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fsm.SetState(state)
	if err := e.fsm.Event(context.Background(), event); err != nil {
		if !errors.As(err, new(fsm.NoTransitionError)) {
			return state, err
		}
	}
	return e.fsm.Current(), nil
}
