package keyvalue

import (
	"sync/atomic"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// holding is until when, by the clock of leases, a watcher holds what it has told its machine to hold; 0 while it holds nothing. A lease
// that has run out stays one until the machine has taken the report of it: what was due meanwhile comes before the report.
type holding struct{ end atomic.Int64 }

// until notes a lease as it was renewed last.
func (h *holding) until(l *lease) { h.end.Store(int64(l.clock() + l.left())) }

// nothing notes that nothing is held, and that the machine knows.
func (h *holding) nothing() { h.end.Store(0) }

func (h *holding) holds(now time.Duration) bool {
	end := h.end.Load()
	return end == 0 || int64(now) < end
}

// Told implements watchers.Holder.
func (h *holding) Told(outcome string) {
	if outcome == machine.OutcomeFail {
		h.nothing()
	}
}
