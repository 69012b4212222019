package credentials

import (
	"context"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers"
)

// leftOut is when a look is tried again that was due and did not take place.
const leftOut = time.Minute

// due says when the active assignment's token is to be renewed, and when it has ended: each once for a token and a visit. It reads the token
// at every look and goes by the wall clock, as the token's times do. A look of a visit that is over may still run when the next one is
// planned: the first look of each begins anew.
type due struct {
	holders
	mu      sync.Mutex
	token   life      // at the last look; zero where there is none
	drawn   string    // the id of the token that at was drawn for
	at      time.Time // when to renew it
	said    string    // the id of the token that was said to be due
	over    string    // the id of the token that was said to have ended
	planned time.Time // the last time that was planned for
}

// life is a token's.
type life struct {
	id           string
	begins, ends time.Time
}

// Plan looks at once where a visit begins or the clock was set, and then when there is something to say.
func (d *due) Plan(p watchers.Planning) watchers.Due {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch p.Moment {
	case watchers.Started, watchers.Entered:
		d.begin()
		return watchers.Due{After: 1}
	case watchers.Jumped:
		return watchers.Due{After: 1}
	}
	next := d.next(p)
	if p.Interval > 0 && (next.IsZero() || next.After(p.Now.Add(p.Interval))) {
		return watchers.Due{After: p.Interval}
	}
	again := next.Equal(d.planned)
	d.planned = next
	switch {
	case next.IsZero():
		return watchers.Due{}
	case next.After(p.Now):
		return watchers.Due{At: next}
	case again:
		return watchers.Due{After: leftOut}
	default:
		return watchers.Due{After: 1}
	}
}

// next is when there is something to say, zero for never.
func (d *due) next(p watchers.Planning) time.Time {
	switch d.token.id {
	case "", d.over:
		return time.Time{}
	case d.said:
		return d.token.ends
	case d.drawn:
	default:
		d.drawn, d.at = d.token.id, d.token.renewal(p)
	}
	return earlier(d.at, d.token.ends)
}

// renewal draws a time of 50 to 70 % of the life. Where it is past - the node was off, or cut off - it draws one of the next fifth of what
// is left, so that a fleet that comes back does not come together.
func (t life) renewal(p watchers.Planning) time.Time {
	whole := t.ends.Sub(t.begins)
	at := t.begins.Add(whole/2 + p.Random(whole/5))
	if at.After(p.Now) {
		return at
	}
	return p.Now.Add(p.Random(t.ends.Sub(p.Now) / 5))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Check implements watchers.Checker.
func (d *due) Check(_ context.Context, look *watchers.Look) watchers.Report {
	token, err := d.read(look)
	d.mu.Lock()
	defer d.mu.Unlock()
	if look.Moment == watchers.Started || look.Moment == watchers.Entered {
		d.begin()
	}
	if d.token = token; err != nil {
		return failure(err)
	}
	return d.say(look.At)
}

// read is the life of the active assignment's token.
func (d *due) read(look *watchers.Look) (life, error) {
	w, err := d.stored(look)
	if err != nil {
		return life{}, err
	}
	a, err := w.Store.Active()
	if err != nil {
		return life{}, err
	}
	c, err := identity.Inspect(a.Token)
	if err != nil {
		return life{}, err
	}
	token := life{id: c.ID, begins: c.NotBefore, ends: c.Expires}
	if token.begins.IsZero() {
		token.begins = c.IssuedAt
	}
	return token, nil
}

func (d *due) say(now time.Time) watchers.Report {
	report := watchers.Report{
		Outcome: watchers.OutcomeUnchanged,
		Payload: map[string]any{"id": d.token.id, "expires": d.token.ends.Format(time.RFC3339)},
	}
	switch id := d.token.id; {
	case !now.Before(d.token.ends) && d.over != id:
		d.over = id
		report.Outcome, report.Message = OutcomeExpired, "the token ended at "+d.token.ends.Format(time.RFC3339)
	case now.Before(d.token.ends) && d.drawn == id && d.said != id && !now.Before(d.at):
		d.said = id
		report.Outcome, report.Message = machine.OutcomeSuccess, "the token is to be renewed; it ends at "+d.token.ends.Format(time.RFC3339)
	default:
		report.Payload = nil
	}
	return report
}

// Reset begins anew with the next visit.
func (d *due) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begin()
}

func (d *due) begin() { d.drawn, d.said, d.over, d.planned = "", "", "", time.Time{} }
