package keyvalue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// pageBytes is what the entries of a page may take in all, which leaves room in a payload.
const pageBytes = machine.MaxPayload / 2

// list reads the keys of a pattern, in order, from behind a key on. It reads all of the bucket by one consumer, so that it is for what is seldom
// asked.
func (w *kvWriter) list(ctx context.Context, b *bucket, look *watchers.Look, pattern string) (watchers.Report, error) {
	after := ""
	if w.spec.After != nil {
		var err error
		if after, err = w.spec.After.Text(look, nil); err != nil {
			return watchers.Report{}, fmt.Errorf("after: %w", err)
		}
	}
	all, err := b.matching(ctx, pattern, func(e entry) bool {
		if e.key <= after {
			return false
		}
		holds, err := w.spec.Where.Holds(look, map[string]any{"key": e.key, "value": decode(e.value), "revision": int(e.revision)})
		return err == nil && holds
	}, w.spec.Most+1)
	if err != nil {
		return watchers.Report{}, err
	}
	if len(all) == 0 {
		return watchers.Report{Outcome: outcomeMissing, Message: fmt.Sprintf("no key of %s matches %s", w.spec.Bucket, pattern), Payload: map[string]any{"key": pattern}}, nil
	}
	entries, next, size := []any{}, "", 0
	for i, e := range all {
		if size += len(e.key) + len(e.value); i == w.spec.Most || i > 0 && size > pageBytes {
			next = all[i-1].key
			break
		}
		entries = append(entries, payload(e, decode(e.value), len(e.value)))
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: map[string]any{"entries": entries, "next": next}}, nil
}

// markers are the entries that are markers of deletions.
func (b *bucket) markers(ctx context.Context) ([]entry, error) {
	return b.walk(ctx, ">", func(e entry) bool { return e.gone }, math.MaxInt32)
}

// matching reads the first few keys of a pattern, in order, that have a value and are chosen.
func (b *bucket) matching(ctx context.Context, pattern string, chosen func(entry) bool, most int) ([]entry, error) {
	return b.walk(ctx, pattern, func(e entry) bool { return !e.gone && chosen(e) }, most)
}

// staleAgain is how long a walk waits after a replica that did not have all yet.
const staleAgain = 50 * time.Millisecond

// walk reads the first few entries of a pattern, in the order of their keys, that are chosen. It reads by a consumer, which may be made on a
// replica that lags: what does not reach the newest entry that the stream's leader has is read again.
func (b *bucket) walk(ctx context.Context, pattern string, chosen func(entry) bool, most int) ([]entry, error) {
	for {
		newest, err := b.newest(ctx, pattern)
		if err != nil {
			return nil, fmt.Errorf("listing keys of %s: %w", b.name, err)
		}
		found, reached, err := b.walkOnce(ctx, pattern, chosen, most)
		if err != nil {
			return nil, fmt.Errorf("listing keys of %s: %w", b.name, err)
		}
		if reached >= newest {
			return found, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("listing keys of %s: %w", b.name, context.Cause(ctx))
		case <-time.After(staleAgain):
		}
	}
}

// newest asks the stream's leader for the revision of what was written last to a key of the pattern, 0 where there is nothing.
func (b *bucket) newest(ctx context.Context, pattern string) (uint64, error) {
	js, err := b.nc.JetStream()
	if err != nil {
		return 0, err
	}
	m, err := patiently(ctx, func(ctx context.Context) (*nats.RawStreamMsg, error) {
		return js.GetLastMsg(b.stream(), b.subject(pattern), nats.Context(ctx))
	})
	switch {
	case errors.Is(err, nats.ErrMsgNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return m.Sequence, nil
}

// walkOnce also returns the highest revision that it came across.
func (b *bucket) walkOnce(ctx context.Context, pattern string, chosen func(entry) bool, most int) (found []entry, reached uint64, err error) {
	js, err := jetstream.New(b.nc)
	if err != nil {
		return nil, 0, err
	}
	kv, err := js.KeyValue(ctx, b.name)
	if err != nil {
		return nil, 0, err
	}
	watch, err := kv.Watch(ctx, pattern)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = watch.Stop() }() // where it fails the connection is gone, and the consumer ends by itself
	first := func() []entry {
		slices.SortFunc(found, func(x, y entry) int { return cmp.Compare(x.key, y.key) })
		return found[:min(len(found), most)]
	}
	for {
		select {
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case e, ok := <-watch.Updates():
			switch {
			case !ok:
				return nil, 0, errors.New("the connection was closed")
			case e == nil:
				return first(), reached, nil
			}
			reached = max(reached, e.Revision())
			if one := (entry{key: e.Key(), value: e.Value(), revision: e.Revision(), gone: e.Operation() != jetstream.KeyValuePut}); chosen(one) {
				found = append(found, one)
			}
			if len(found)/4 >= most {
				found = first()
			}
		}
	}
}
