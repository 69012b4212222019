package messaging

import (
	"context"
	"time"

	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// leaveTimeout is how long the broker's being told is waited for; then that goes on beside.
const leaveTimeout = 50 * time.Millisecond

// Leave ends a subscription or a service. Who listens is not kept by a broker that is gone: whatever comes of it is no matter.
// ctx, of who leaves, may have ended.
func Leave(ctx context.Context, stop func() error) { leave(ctx, leaveTimeout, stop) }

func leave(ctx context.Context, patience time.Duration, stop func() error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_, _ = within(ctx, func() (struct{}, error) { return struct{}{}, stop() })
}

// within calls f beside the caller, who gets away when ctx ends: nats.go holds a connection's lock while it dials, and whoever wants
// something of the connection waits for that lock.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	supervise.Go(ctx, func() {
		v, err := f()
		done <- result{v, err}
	})
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
