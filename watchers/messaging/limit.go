package messaging

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// admits reports whether a message is to be looked at: it is of a size, and within the quotas. What it leaves out it counts
// and reports, by who is over.
func (in *inlet) admits(m *nats.Msg) bool {
	d := deliveryOf(m)
	if err := in.oversized(d); err != nil {
		in.unreadable(d.subject, err)
		return false
	}
	return in.excess(d) == nil
}

// oversized reports a message that is larger than one may be.
func (in *inlet) oversized(d delivery) error {
	if most := in.from.maxSize; most > 0 && d.size() > most {
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", errTooLarge, d.size(), most)
	}
	return nil
}

// excess counts a message, or reports who is over a quota.
func (in *inlet) excess(d delivery) *watchers.Excess {
	if in.meter == nil {
		return nil
	}
	now := time.Now() //nolint:forbidigo // when it came: a listener has no other clock, and no state depends on it
	over := in.meter.Take(in.look, d.subject, Tokens(d.subject), d.size(), now)
	if over != nil {
		in.tell(outcomeLimited, watchers.Report{
			Message: "a message to " + diag.Brief(d.subject, diag.MaxBrief) + " is over a quota: " + over.Reason,
			Payload: map[string]any{"subject": diag.Brief(d.subject, diag.MaxBrief), "by": diag.Brief(over.By, diag.MaxBrief), "reason": over.Reason},
		})
	}
	return over
}

// size is what a message takes in bytes, about.
func (d delivery) size() int {
	n := len(d.subject) + len(d.reply) + len(d.data)
	for key, values := range d.header {
		for _, v := range values {
			n += len(key) + len(v) + 4 // a colon, a space and the end of the line
		}
	}
	return n
}

func limitedOutcome(what string) machine.Outcome {
	return machine.Outcome{
		Name: outcomeLimited, Class: machine.Neutral, Doc: what,
		Payload: map[string]machine.ValueType{"subject": machine.String, "by": machine.String, "reason": machine.String},
	}
}
