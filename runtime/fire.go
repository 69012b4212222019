package runtime

import (
	"context"
	"fmt"

	"github.com/statecraft-io/statecraft/machine"
)

// Fired is what became of an operator's event.
type Fired struct {
	Record machine.Record // as it may be shown
	// Durable tells that the record is synced. It is false for machines that keep nothing, and while the
	// host's log cannot be written.
	Durable bool
}

// operatorShare is the part of the inbox's size that operators' events have to themselves.
const operatorShare = 8

// Fire gives an operator's event to a machine and returns the record of it. An event that the machine
// cannot take is no error: its record is of kind refused and says why.
func (h *Host) Fire(ctx context.Context, name, event string, payload map[string]any, by string) (Fired, error) {
	u, ok := h.unit(name)
	if !ok {
		return Fired{}, fmt.Errorf("firing %q at %q: %w", event, name, ErrUnknownMachine)
	}
	type answer struct {
		fired Fired
		err   error
	}
	answers := make(chan answer, 1)
	answered := make(chan struct{})
	m := message{
		event: &machine.Event{
			Name: event, Payload: payload,
			Cause: machine.Cause{Kind: machine.CauseOperator, Identity: by},
		},
		reply: func(f Fired, err error) {
			answers <- answer{f, err}
			close(answered)
		},
	}
	if err := u.post(m, true, max(1, h.cfg.InboxSize/operatorShare)); err != nil {
		return Fired{}, fmt.Errorf("firing %q at %q: %w", event, name, err)
	}
	if err := u.await(ctx, answered); err != nil {
		return Fired{}, fmt.Errorf("firing %q at %q: %w", event, name, err)
	}
	a := <-answers
	if a.err != nil {
		return Fired{}, fmt.Errorf("firing %q at %q: %w", event, name, a.err)
	}
	return a.fired, nil
}
