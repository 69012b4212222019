package broker

import (
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
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

// fullAt reports whether a bucket has all of its burst again.
func (b *bucket) fullAt(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens+b.rate*now.Sub(b.last).Seconds() >= b.burst
}

// renewals bound the sessions of tokens that have ended: those of a key first, so that it takes nothing from others by coming often, then
// those of all.
type renewals struct {
	limits *Limits
	all    *bucket

	mu   sync.Mutex
	each map[identity.PublicKey]*bucket // those that are full are nobody's and taken out when there are many
	many int
}

const fewRenewals = 1024

func newRenewals(l *Limits) *renewals {
	return &renewals{limits: l, all: newBucket(l.RenewRate, l.RenewBurst), each: map[identity.PublicKey]*bucket{}, many: fewRenewals}
}

func (r *renewals) take(key identity.PublicKey, now time.Time) bool {
	return r.of(key, now).take(now) && r.all.take(now)
}

func (r *renewals) of(key identity.PublicKey, now time.Time) *bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.each[key]
	if b != nil {
		return b
	}
	if len(r.each) >= r.many {
		for other, b := range r.each {
			if b.fullAt(now) {
				delete(r.each, other)
			}
		}
		r.many = 2*len(r.each) + fewRenewals
	}
	b = newBucket(r.limits.RenewEachRate, r.limits.RenewEachBurst)
	r.each[key] = b
	return b
}
