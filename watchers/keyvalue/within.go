package keyvalue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// answer is what a request has come to.
type answer[T any] struct {
	value T
	err   error
}

// ask makes a request of its own goroutine. While a connection cannot send, the library keeps whoever uses it waiting for a lock,
// whatever their context says; a lease must not wait with it. request must share nothing with its caller. The goroutine ends with
// ctx, or when the connection can send or is given up.
func ask[T any](ctx context.Context, request func(ctx context.Context) (T, error)) <-chan answer[T] {
	answers := make(chan answer[T], 1)
	supervise.Go(ctx, func() {
		v, err := request(ctx)
		answers <- answer[T]{v, err}
	})
	return answers
}

// within makes a request and waits for its answer, so long and no longer.
func within[T any](ctx context.Context, limit time.Duration, request func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case a := <-ask(ctx, request):
		return a.value, a.err
	case <-ctx.Done():
		var nothing T
		return nothing, ctx.Err()
	}
}

// onConnections does something on the connection of a name and, when that is over, on the one that is open then, until it fails or ctx
// has ended.
func onConnections(ctx context.Context, c Connections, look *watchers.Look, name string, do func(nc *nats.Conn) error) watchers.Report {
	for ctx.Err() == nil {
		nc, err := c.Wait(ctx, look.Identity, name)
		if err != nil {
			err = fmt.Errorf("waiting for the connection %s: %w", name, err)
		} else {
			err = do(nc)
		}
		if err != nil {
			return ended(ctx, err)
		}
	}
	return watchers.Report{}
}

// unlessClosed leaves out what goes wrong because the connection was closed: another takes its place.
func unlessClosed(nc *nats.Conn, err error) error {
	if nc.IsClosed() {
		return nil
	}
	return err
}

// leave does what a listener leaves with, and waits for it a little, although its context has ended.
func leave(ctx context.Context, f func() error) {
	_, _ = within(context.WithoutCancel(ctx), releaseTimeout, func(context.Context) (struct{}, error) { return struct{}{}, f() })
}

// subscribe subscribes to a subject, without waiting for longer than ctx lasts.
func subscribe(ctx context.Context, nc *nats.Conn, subject string, take nats.MsgHandler) (*nats.Subscription, error) {
	sub, err := within(ctx, readTimeout, func(ctx context.Context) (*nats.Subscription, error) {
		sub, err := nc.Subscribe(subject, func(m *nats.Msg) {
			defer supervise.Recover(ctx)
			take(m)
		})
		if err == nil && ctx.Err() != nil { // nobody waits for it any more
			return nil, sub.Unsubscribe()
		}
		return sub, err
	})
	if err != nil {
		return nil, fmt.Errorf("subscribing to %s: %w", subject, err)
	}
	return sub, nil
}
