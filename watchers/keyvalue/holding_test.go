package keyvalue

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestE35AHolderThatStoodStillHoldsNothingBeforeItHasNoticed lets the clock of leases jump, as SIGCONT after a pause does: from that
// moment on, before the watcher itself has looked, nothing is held, and nothing until the machine was told.
func TestE35AHolderThatStoodStillHoldsNothingBeforeItHasNoticed(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	var ahead atomic.Int64
	late := func() time.Duration { return elapsed() + time.Duration(ahead.Load()) }
	for kind, properties := range map[string]string{"election": "name: office\nttl: 1m", "governor": "name: doors\ncapacity: 1\nlease: 1m"} {
		t.Run(kind, func(t *testing.T) {
			ahead.Store(0)
			w := newWatcher(t, l, kind, properties)
			switch w := w.(type) {
			case *election:
				w.clock = late
			case *governor:
				w.clock = late
			}
			holder := w.(watchers.Holder)
			if !holder.Holds() {
				t.Error("a watcher that claims nothing says that it has lost it")
			}
			look := newLook(nil)
			look.Identity = "h1"
			h := listen(t, w, look)
			h.next(machine.OutcomeSuccess, 1)
			await(t, "hold", holder.Holds)
			ahead.Store(int64(2 * time.Minute))
			if holder.Holds() {
				t.Error("after a pause that is longer than the lease it is held")
			}
			h.next(machine.OutcomeFail, 1) // it may be elected or admitted anew from now on
			holder.Told(machine.OutcomeFail)
			await(t, "hold", holder.Holds)
			h.stop()
		})
	}
}

// TestE35WhatHasRunOutIsHeldUpUntilTheMachineKnows tells of other outcomes and of the loss.
func TestE35WhatHasRunOutIsHeldUpUntilTheMachineKnows(t *testing.T) {
	h := &holding{}
	h.end.Store(int64(time.Minute))
	if !h.holds(59*time.Second) || h.holds(time.Minute) {
		t.Error("a lease of a minute is held for another time")
	}
	if h.Told(machine.OutcomeSuccess); h.holds(time.Minute) {
		t.Error("another outcome counts as the loss")
	}
	if h.Told(machine.OutcomeFail); !h.holds(time.Minute) {
		t.Error("the machine knows of the loss, and its looks are held up")
	}
}
