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

// drop counts a message that is lost, after it was sent or before.
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
