package broker

import (
	"sync"
	"time"
)

// bucket lets burst things happen at once, and then rate in a second. Time comes from who asks.
type bucket struct {
	rate  float64
	burst float64

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBucket(rate float64, burst int) *bucket {
	return &bucket{rate: rate, burst: float64(burst), tokens: float64(burst)}
}

// take reports whether one more may happen. A clock that is set back gives nothing and takes nothing.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.last); passed > 0 && !b.last.IsZero() {
		b.tokens = min(b.burst, b.tokens+b.rate*passed.Seconds())
	}
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
