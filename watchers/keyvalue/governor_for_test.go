package keyvalue

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
)

// TestH73OneHolderHasOnePlaceOfAGovernor has one node ask five times, on hosts of different names, and others once. It has one of three places; its next
// comes in when that one leaves, and nobody is let in beyond the capacity.
func TestH73OneHolderHasOnePlaceOfAGovernor(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	asks := func(whom string, n int) *hearing {
		return stands(t, l, "governor", lasting(fmt.Sprintf(governor1s, 3))+"\nfor: "+whom+"\nlimit_for: 1", fmt.Sprintf("%s.%d", whom, n))
	}
	admitted := func(h *hearing) bool { return slices.Contains(h.outcomes(), machine.OutcomeSuccess) }
	var greedy []*hearing
	for i := range 5 {
		h := asks("greedy", i)
		if i == 0 {
			h.next(machine.OutcomeSuccess, 1)
		} else {
			h.next(outcomeQueued, 1)
		}
		greedy = append(greedy, h)
	}
	second, third := asks("a", 0), asks("b", 0)
	second.next(machine.OutcomeSuccess, 1)
	third.next(machine.OutcomeSuccess, 1)
	fourth := asks("c", 0)
	fourth.next(outcomeQueued, 1)
	greedy[0].stop()
	greedy[1].next(machine.OutcomeSuccess, 1)
	if admitted(fourth) || admitted(greedy[2]) {
		t.Error("more are let in than there are places")
	}
	second.stop()
	fourth.next(machine.OutcomeSuccess, 1)
	if admitted(greedy[2]) {
		t.Error("one has two places")
	}
}
