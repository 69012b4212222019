package inventory

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
)

// tally counts what became of messages.
type tally struct {
	emit func(watchers.Report)

	received, sent, refused, waiting atomic.Int64

	mu      sync.Mutex
	lost    int64  // sent, and not stored
	kept    int64  // never sent
	reason  string // of the last drop
	told    int64  // drops that were reported
	lagging bool
	from    *nats.Subscription
	missed  int // of from
}

// drop counts a message that was sent, and that the stream does not have.
func (t *tally) drop(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost++
	t.reason = reason
}

// overflowed counts the messages for which there was no room.
func (t *tally) overflowed(sub *nats.Subscription) {
	n, err := sub.Dropped()
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.from != sub {
		t.from, t.missed = sub, 0
	}
	if n > t.missed {
		t.kept += int64(n - t.missed)
		t.missed, t.reason = n, "more messages came than could wait"
	}
}

// withheld counts a message that was never sent.
func (t *tally) withheld(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept++
	t.reason = reason
}

// counts are what became of messages so far. A message that the stream has not answered for yet is in none but received.
func (t *tally) counts() map[string]any {
	return map[string]any{
		"received": int(t.received.Load()), "stored": int(t.sent.Load() - t.waiting.Load() - t.lost),
		"refused": int(t.refused.Load()), "dropped": int(t.lost + t.kept),
	}
}

// report says what was dropped, and when that has ended; else it leaves the counts for the next state event.
func (t *tally) report() {
	t.mu.Lock()
	dropped, reason := t.lost+t.kept, t.reason
	counts := t.counts()
	more, was := dropped > t.told, t.lagging
	before := t.told
	t.told, t.lagging = dropped, more
	t.mu.Unlock()
	switch {
	case more:
		t.emit(watchers.Report{
			Outcome: outcomeLagging, Payload: counts, State: counts,
			Message: fmt.Sprintf("%d messages were dropped; the last: %s", dropped-before, reason),
		})
	case was:
		t.emit(watchers.Report{Outcome: outcomeCaughtUp, Payload: counts, State: counts, Quiet: true})
	}
}
