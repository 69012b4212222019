package messaging

import "context"

// within calls f beside the caller, who gets away when ctx ends: nats.go holds a connection's lock while it dials, and whoever wants
// something of the connection waits for that lock.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
