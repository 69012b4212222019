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
	asking  chan struct{} // closed when who asks the bucket has ended; nil while nobody does
}

// taken is how many percent of its bytes, or messages, a bucket has; 0 where it has no bounds.
// Of those who come together one asks the bucket, and the others wait for what that finds; where it finds nothing, the next one asks.
func (r *room) taken(ctx context.Context, b *bucket, now time.Time) (int, error) {
	for {
		r.mu.Lock()
		known, percent, asking := r.conn == b.nc && now.Before(r.until), r.percent, r.asking
		if !known && asking == nil {
			r.asking = make(chan struct{})
		}
		r.mu.Unlock()
		switch {
		case known:
			return percent, nil
		case asking == nil:
			return r.ask(ctx, b, now)
		}
		select {
		case <-asking:
		case <-ctx.Done():
			return 0, fmt.Errorf("waiting for how full %s is: %w", b.name, ctx.Err())
		}
	}
}

// ask asks the bucket, for all who wait.
func (r *room) ask(ctx context.Context, b *bucket, now time.Time) (int, error) {
	info, err := b.info(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.asking)
	r.asking = nil
	if err != nil {
		return 0, err
	}
	r.conn, r.until, r.percent = b.nc, now.Add(roomHolds), fullness(info)
	return r.percent, nil
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
		Outcome: outcomeFull, Payload: map[string]any{"key": key, "reserved": true},
		Message: fmt.Sprintf("%s has %d %% of what it may; the last %d %% are kept for the keys that it has", b.name, percent, w.spec.KeepFree),
	}, nil
}

// takesNothing tells of a write that the bucket had no room for. Whoever hears what is written to it has heard it all the same.
func takesNothing(b *bucket, key string, err error) watchers.Report {
	return watchers.Report{
		Outcome: outcomeFull, Payload: map[string]any{"key": key, "reserved": false},
		Message: fmt.Sprintf("%s is full, and takes nothing more: %v; raise stream_bytes of the hosts, or its share in the machine streams", b.name, err),
	}
}
