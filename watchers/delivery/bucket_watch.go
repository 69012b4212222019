package delivery

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// bucketWatch is a watch of a bucket by who keeps what it has in memory, and begins it anew where the bucket turns out to be another one.
type bucketWatch struct {
	watch jetstream.KeyWatcher // nil while the bucket cannot be watched
}

// end ends the watch, if there is one. The server does that itself where the stream or the connection is gone.
func (w *bucketWatch) end() {
	if w.watch != nil {
		_ = w.watch.Stop()
		w.watch = nil
	}
}

// updates is what the watch hears; nothing while there is no watch.
func (w *bucketWatch) updates() <-chan jetstream.KeyValueEntry {
	if w.watch == nil {
		return nil
	}
	return w.watch.Updates()
}

// follow calls take with what the watch hears and check every so often, on a goroutine of its own, until ctx ends or the connection is gone. Either may
// end the watch, and set another. It closes what it returns when it has ended.
func (w *bucketWatch) follow(ctx context.Context, every time.Duration, take func(jetstream.KeyValueEntry), check func(context.Context)) <-chan struct{} {
	lost := make(chan struct{})
	supervise.Go(ctx, func() {
		defer close(lost)
		defer w.end()
		due := time.NewTicker(every)
		defer due.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-w.updates():
				if !open {
					return
				}
				take(e)
			case <-due.C:
				check(ctx)
			}
		}
	})
	return lost
}
