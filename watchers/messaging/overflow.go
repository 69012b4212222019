package messaging

import (
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
)

func (in *inlet) attach(l *link) {
	in.pool.mu.Lock()
	defer in.pool.mu.Unlock()
	l.inlets[in] = true
}

func (in *inlet) detach(l *link) {
	in.pool.mu.Lock()
	defer in.pool.mu.Unlock()
	delete(l.inlets, in)
}

// slow is told, once for each time that it happens, that a subscription drops messages.
func (ln *line) slow(sub *nats.Subscription) {
	ln.pool.mu.Lock()
	var late []*inlet
	for in := range ln.link.inlets {
		if in.subject == sub.Subject && in.queue == sub.Queue {
			late = append(late, in)
		}
	}
	ln.pool.mu.Unlock()
	for _, in := range late {
		in.overflowed(sub)
	}
}

// overflowed reports that messages are dropped, and keeps the subscription in mind for its end.
func (in *inlet) overflowed(sub *nats.Subscription) {
	dropped, err := sub.Dropped()
	in.mu.Lock()
	if in.sub != sub {
		in.sub, in.dropped = sub, 0
	}
	news := err == nil && dropped > in.dropped
	if news {
		in.dropped = dropped
	}
	in.mu.Unlock()
	if news {
		in.tell(outcomeOverflowed, watchers.Report{
			Message: fmt.Sprintf("%d messages were dropped: more than %d wait", dropped, in.from.pending),
			Payload: map[string]any{"dropped": dropped},
		})
	}
}

// caughtUp reports what was dropped in all when those that waited have been handled.
func (in *inlet) caughtUp() {
	in.mu.Lock()
	sub := in.sub
	in.mu.Unlock()
	if sub == nil {
		return
	}
	if waiting, _, err := sub.Pending(); err == nil && waiting <= 1 { // the one that is being handled
		in.overflowed(sub)
	}
}
