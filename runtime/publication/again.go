package publication

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrSilent is the cause where the cell's streams did not answer for as long as the caller waited.
var ErrSilent = errors.New("the cell's streams do not answer: they may have no leader at the moment, as when a host has died, or too many hosts are away")

const (
	tryTimeout  = 3 * time.Second        // for one answer
	tryPause    = 200 * time.Millisecond // before it is asked again
	tryPerMiB   = 2 * time.Second        // more for what carries a bundle
	apiNotReady = 503
)

// again asks until there is an answer, or ctx ends: what a stream is asked while it has no leader is dropped in silence, and has to be asked
// again. The error is then ErrSilent.
func again[T any](ctx context.Context, try time.Duration, ask func(ctx context.Context) (T, error)) (T, error) {
	for {
		once, cancel := context.WithTimeout(ctx, try)
		v, err := ask(once)
		cancel()
		if err == nil || !silent(err) {
			return v, err
		}
		pause := time.NewTimer(tryPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
		if ctx.Err() != nil {
			return v, fmt.Errorf("%w (%w)", ErrSilent, err)
		}
	}
}

// silent reports that nobody answered, or that who did cannot at the moment.
func silent(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == apiNotReady && !IsFull(err)
	}
	for _, cause := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

func (s *Shelf) get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return again(ctx, tryTimeout, func(ctx context.Context) (jetstream.KeyValueEntry, error) { return s.specs.Get(ctx, key) })
}

func (s *Shelf) history(ctx context.Context, key string) ([]jetstream.KeyValueEntry, error) {
	return again(ctx, tryTimeout, func(ctx context.Context) ([]jetstream.KeyValueEntry, error) { return s.specs.History(ctx, key) })
}

func (s *Shelf) create(ctx context.Context, key string, value []byte) (uint64, error) {
	return put(ctx, s.roomOfSpecs, tryTimeout, func(ctx context.Context) (uint64, error) { return s.specs.Create(ctx, key, value) })
}

func (s *Shelf) update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return put(ctx, s.roomOfSpecs, tryTimeout, func(ctx context.Context) (uint64, error) { return s.specs.Update(ctx, key, value, revision) })
}

// within is how long one try may take that carries so many bytes.
func within(size int) time.Duration { return tryTimeout + time.Duration(size>>20)*tryPerMiB }
