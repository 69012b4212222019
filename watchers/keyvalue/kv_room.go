package keyvalue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
)

// roomHolds is for how long it counts how full a bucket was found: thousands may create keys at once.
const roomHolds = time.Second

// room remembers how full a bucket is for all instances of a machine.
type room struct {
	mu      sync.Mutex
	conn    *nats.Conn // that was asked
	until   time.Time
	percent int
}

// taken is how many percent of its bytes, or messages, a bucket has; 0 where it has no bounds.
func (r *room) taken(ctx context.Context, b *bucket, now time.Time) (int, error) {
	r.mu.Lock()
	known, percent := r.conn == b.nc && now.Before(r.until), r.percent
	r.mu.Unlock()
	if known {
		return percent, nil
	}
	info, err := b.info(ctx)
	if err != nil {
		return 0, err
	}
	percent = fullness(info)
	r.mu.Lock()
	r.conn, r.until, r.percent = b.nc, now.Add(roomHolds), percent
	r.mu.Unlock()
	return percent, nil
}

// create writes where there is no value, unless the bucket has to keep what is free for the keys that it has.
func (w *kvWriter) create(ctx context.Context, b *bucket, look *watchers.Look, key string, value []byte) (watchers.Report, error) {
	if w.spec.KeepFree == 0 {
		return create(ctx, b, key, value)
	}
	percent, err := w.room.taken(ctx, b, look.At)
	if err != nil {
		return watchers.Report{}, err
	}
	if percent < 100-w.spec.KeepFree {
		return create(ctx, b, key, value)
	}
	return watchers.Report{
		Outcome: outcomeFull, Payload: map[string]any{"key": key},
		Message: fmt.Sprintf("%s has %d %% of what it may; the last %d %% are kept for the keys that it has", b.name, percent, w.spec.KeepFree),
	}, nil
}
