package inventory

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// tally counts what became of messages.
type tally struct {
	emit func(watchers.Report)

	received, stored, waiting atomic.Int64

	inbound, stores, refusals, drops prometheus.Counter // the same for Prometheus
	queued                           prometheus.Gauge

	mu      sync.Mutex
	dropped int64  // not stored
	reason  string // of the last drop
	told    int64  // drops that were reported
	lagging bool
	refused int64
	because string // of the last that was refused
	named   int64  // refusals that were reported
	from    *nats.Subscription
	missed  int // of from
}

// came counts a message that has come.
func (t *tally) came() {
	t.received.Add(1)
	t.inbound.Inc()
}

// goes counts a message that is sent on its way.
func (t *tally) goes() {
	t.waiting.Add(1)
	t.queued.Inc()
}

// refuse counts a message that is not to be taken in.
func (t *tally) refuse(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	t.refusals.Inc()
	t.because = diag.Brief(reason, diag.MaxBrief)
}

// settled counts a message of which it is known what has become.
func (t *tally) settled(subject string, err error) {
	t.waiting.Add(-1)
	t.queued.Dec()
	if err == nil {
		t.stored.Add(1)
		t.stores.Inc()
		return
	}
	t.drop(fmt.Sprintf("%s: %v", subject, err))
}

// drop counts a message that the stream does not have.
func (t *tally) drop(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropped++
	t.drops.Inc()
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
		t.dropped += int64(n - t.missed)
		t.drops.Add(float64(n - t.missed))
		t.missed, t.reason = n, "more messages came than could wait"
	}
}

// counts are what became of messages so far; under the lock. waiting are those that the stream has not answered for yet.
func (t *tally) counts() map[string]any {
	return map[string]any{
		"received": int(t.received.Load()), "stored": int(t.stored.Load()), "refused": int(t.refused), "dropped": int(t.dropped),
		"waiting": int(t.waiting.Load()),
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
	more, was := t.dropped-t.told, t.lagging
	t.told, t.named, t.lagging = t.dropped, t.refused, more > 0
	switch {
	case more > 0:
		add(outcomeLagging, fmt.Sprintf("%d messages were dropped; the last: %s", more, t.reason), false)
	case was:
		add(outcomeCaughtUp, "", true)
	}
	return due
}
