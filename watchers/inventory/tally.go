package inventory

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// tally counts what became of messages.
type tally struct {
	emit func(watchers.Report)

	received, sent, waiting atomic.Int64

	mu      sync.Mutex
	lost    int64  // sent, and not stored
	kept    int64  // never sent
	reason  string // of the last drop
	told    int64  // drops that were reported
	lagging bool
	refused int64
	because string // of the last that was refused
	named   int64  // refusals that were reported
	from    *nats.Subscription
	missed  int // of from
}

// refuse counts a message that is not to be taken in.
func (t *tally) refuse(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	t.because = diag.Brief(reason, diag.MaxBrief)
}

// drop counts a message that was sent, and that the stream does not have.
func (t *tally) drop(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost++
	t.reason = diag.Brief(reason, diag.MaxBrief)
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
	t.reason = diag.Brief(reason, diag.MaxBrief)
}

// counts are what became of messages so far; under the lock. A message that the stream has not answered for yet is in none but received.
func (t *tally) counts() map[string]any {
	return map[string]any{
		"received": int(t.received.Load()), "stored": int(t.sent.Load() - t.waiting.Load() - t.lost),
		"refused": int(t.refused), "dropped": int(t.lost + t.kept),
	}
}

// report says what was refused and dropped since the last report, and when nothing is dropped any more.
func (t *tally) report() {
	for _, r := range t.due() {
		t.emit(r)
	}
}

func (t *tally) due() (due []watchers.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts()
	add := func(outcome, message string, quiet bool) {
		due = append(due, watchers.Report{Outcome: outcome, Payload: counts, State: counts, Message: message, Quiet: quiet})
	}
	if more := t.refused - t.named; more > 0 {
		add(outcomeRefused, fmt.Sprintf("%d messages were refused; the last: %s", more, t.because), false)
	}
	dropped := t.lost + t.kept
	more, was := dropped-t.told, t.lagging
	t.told, t.named, t.lagging = dropped, t.refused, more > 0
	switch {
	case more > 0:
		add(outcomeLagging, fmt.Sprintf("%d messages were dropped; the last: %s", more, t.reason), false)
	case was:
		add(outcomeCaughtUp, "", true)
	}
	return due
}
