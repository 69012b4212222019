package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// kvListener hears of changes: from the subject that the bucket republishes on, or from an ordered consumer, which is the
// connection's own and leaves nothing behind. Because what was published while nobody was connected is never heard, it reads the
// key as well: at first, after every reconnect, and at intervals.
type kvListener struct {
	spec        *kvSpec
	connections Connections
	interval    time.Duration
	follower    follower
}

// reconnectSpread is the longest that a read waits after a reconnect, as all nodes of a broker reconnect at once.
const reconnectSpread = 2 * time.Second

// Listen implements watchers.Listener.
func (w *kvListener) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	w.follower.spec = w.spec
	if err := w.follower.begin(look); err != nil {
		return failed(err)
	}
	return onConnections(ctx, w.connections, look, w.spec.Connection, func(nc *nats.Conn) error { return w.follow(ctx, nc, look, emit) })
}

// ended is the report of a listener that returns: none where it was told to.
func ended(ctx context.Context, err error) watchers.Report {
	if ctx.Err() != nil {
		return watchers.Report{}
	}
	return failed(err)
}

// follow listens on one connection. It returns nil when another is to be used, or ctx has ended.
func (w *kvListener) follow(ctx context.Context, nc *nats.Conn, look *watchers.Look, emit func(watchers.Report)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	status := nc.StatusChanged(nats.CONNECTED, nats.CLOSED) // before it is used, so that the end is not missed
	defer nc.RemoveStatusListener(status)
	heard, stop, err := w.listen(ctx, nc, look)
	if err != nil {
		return unlessClosed(nc, err)
	}
	defer stop()
	read := time.NewTimer(0)
	defer read.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, open := <-heard:
			if !open {
				return nil
			}
			if e.revision > w.follower.revision {
				emit(w.follower.take(look, e))
			}
		case s := <-status:
			if s == nats.CLOSED {
				return nil
			}
			read.Reset(rand.N(reconnectSpread))
		case <-read.C:
			read.Reset(w.interval)
			missed, rep := w.repair(ctx, nc, look)
			if rep.Outcome != watchers.OutcomeUnchanged && ctx.Err() == nil {
				emit(rep)
			}
			if missed {
				return nil
			}
		}
	}
}

// repair reads the key. It says whether what it has found should have been heard: whatever it is that one listens to has then been
// lost. A first read finds what nobody could have heard.
func (w *kvListener) repair(ctx context.Context, nc *nats.Conn, look *watchers.Look) (missed bool, rep watchers.Report) {
	before := w.follower.revision
	b := bucket{nc: nc, name: w.spec.Bucket}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	e, err := b.readAtLeast(ctx, w.follower.key, before)
	if err != nil {
		return false, failed(err)
	}
	rep = w.follower.take(look, e)
	return before > 0 && e.revision != before, rep
}

// readTimeout bounds a request of a listener, which has no deadline of its own.
const readTimeout = 10 * time.Second

// listen begins to hear entries. The channel is closed when there is nothing more to be heard.
func (w *kvListener) listen(ctx context.Context, nc *nats.Conn, look *watchers.Look) (heard <-chan entry, stop func(), err error) {
	if !w.spec.RepublishTrigger.Empty() {
		return w.subscribe(ctx, nc, look)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, fmt.Errorf("watching %s.%s: %w", w.spec.Bucket, w.follower.key, err)
	}
	kv, err := js.KeyValue(ctx, w.spec.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		err = errNoBucket
	}
	if err != nil {
		return nil, nil, fmt.Errorf("watching %s.%s: %w", w.spec.Bucket, w.follower.key, err)
	}
	watch, err := kv.Watch(ctx, w.follower.key)
	if err != nil {
		return nil, nil, fmt.Errorf("watching %s.%s: %w", w.spec.Bucket, w.follower.key, err)
	}
	return translate(ctx, watch), func() { _ = watch.Stop() }, nil
}

// translate makes entries of the library's. Its goroutine ends with ctx or when the library's channel is closed.
func translate(ctx context.Context, watch jetstream.KeyWatcher) <-chan entry {
	heard := make(chan entry)
	supervise.Go(ctx, func() {
		defer close(heard)
		for {
			select {
			case <-ctx.Done():
				return
			case e, open := <-watch.Updates():
				if !open {
					return
				}
				if e == nil { // all that was there has been told
					continue
				}
				select {
				case heard <- entry{key: e.Key(), value: e.Value(), revision: e.Revision(), gone: e.Operation() != jetstream.KeyValuePut}:
				case <-ctx.Done():
					return
				}
			}
		}
	})
	return heard
}

// subscribe hears the key on the subject that its bucket is republished on.
func (w *kvListener) subscribe(ctx context.Context, nc *nats.Conn, look *watchers.Look) (<-chan entry, func(), error) {
	subject, err := look.Expand(w.spec.RepublishTrigger)
	if err != nil {
		return nil, nil, err
	}
	heard := make(chan entry)
	b := bucket{nc: nc, name: w.spec.Bucket}
	sub, err := subscribe(ctx, nc, subject, func(m *nats.Msg) {
		if e, ours := w.republished(&b, m); ours {
			select {
			case heard <- e:
			case <-ctx.Done():
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return heard, func() { _ = sub.Unsubscribe() }, nil
}

// republished reads a message that the broker has republished; all others that come on the subject are not ours.
func (w *kvListener) republished(b *bucket, m *nats.Msg) (entry, bool) {
	revision, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
	if err != nil || m.Header.Get(nats.JSStream) != b.stream() || m.Header.Get(nats.JSSubject) != b.subject(w.follower.key) {
		return entry{}, false
	}
	return entry{key: w.follower.key, value: m.Data, revision: revision, gone: marksDeletion(m.Header)}, true
}
