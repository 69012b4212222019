package keyvalue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// kvWriter writes the key once a look, or with mode get reads it. Every mode but put may be tried again: what is already as it was to become is success.
type kvWriter struct {
	spec        *kvSpec
	connections Connections
	room        *room
}

// Check writes.
func (w *kvWriter) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	expand := expandKey
	if w.spec.Mode == modeList {
		expand = expandPattern
	}
	key, err := expand(look, "key", w.spec.Key)
	if err != nil {
		return failed(err)
	}
	var value []byte
	if w.spec.Value != nil {
		if value, err = valueIn(look, w.spec.Value); err != nil {
			return failed(err)
		}
	}
	nc, err := connect(w.connections, look, w.spec.Connection)
	if err != nil {
		return failed(err)
	}
	b := &bucket{nc: nc, name: w.spec.Bucket}
	var rep watchers.Report
	switch w.spec.Mode {
	case modeGet:
		rep, err = get(ctx, b, key)
	case modeList:
		rep, err = w.list(ctx, b, look, key)
	case modePut:
		rep, err = put(ctx, b, key, value)
	case modeCreate:
		rep, err = w.create(ctx, b, look, key, value)
	case modeUpdate:
		rep, err = w.update(ctx, b, look, key, value)
	case modeDelete:
		rep, err = w.remove(ctx, b, look, key)
	case modeClaim:
		rep, err = w.claim(ctx, b, look, key, value)
	}
	switch {
	case IsFull(err):
		return takesNothing(b, key, err)
	case err != nil:
		return failed(err)
	default:
		return rep
	}
}

// get reads the key.
func get(ctx context.Context, b *bucket, key string) (watchers.Report, error) {
	e, err := b.read(ctx, key)
	switch {
	case err != nil:
		return watchers.Report{}, err
	case e.gone:
		return report(outcomeMissing, e), nil
	default:
		return report(machine.OutcomeSuccess, e), nil
	}
}

// report tells an outcome with what the key holds.
func report(outcome string, e entry) watchers.Report {
	rep := watchers.Report{Outcome: outcome}
	if outcome == outcomeMissing {
		rep.Message = e.key + " holds nothing"
	}
	switch {
	case outcome == outcomeMissing || outcome == outcomeExhausted:
		rep.Payload = map[string]any{"key": e.key}
	case e.gone:
		rep.Payload = payload(e, nil, 0)
	default:
		rep.Payload = payload(e, decode(e.value), len(e.value))
	}
	return rep
}

func put(ctx context.Context, b *bucket, key string, value []byte) (watchers.Report, error) {
	revision, err := b.put(ctx, key, value)
	if err != nil {
		return watchers.Report{}, err
	}
	return report(machine.OutcomeSuccess, entry{key: key, value: value, revision: revision}), nil
}

// errUndecided is a conflict with nothing: a leader that has lost the others refuses a second write for the sake of the first, which it can neither store nor drop.
var errUndecided = errors.New("another write of it is under way: the stream has no leader, or has not decided yet")

// create writes where there is no value. After a conflict it writes once more where the key was deleted before.
func create(ctx context.Context, b *bucket, key string, value []byte) (watchers.Report, error) {
	written := func(revision uint64) watchers.Report {
		return report(outcomeCreated, entry{key: key, value: value, revision: revision})
	}
	revision, err := b.update(ctx, key, value, 0)
	if err == nil {
		return written(revision), nil
	}
	if !errors.Is(err, errConflict) {
		return watchers.Report{}, err
	}
	e, err := b.readAtLeast(ctx, key, 1)
	if err == nil && e.gone {
		revision, err = b.update(ctx, key, value, e.revision)
		if err == nil {
			return written(revision), nil
		}
		if errors.Is(err, errConflict) {
			e, err = b.readAtLeast(ctx, key, e.revision+1)
		}
	}
	switch {
	case err != nil:
		return watchers.Report{}, err
	case !e.gone && bytes.Equal(e.value, value):
		return report(machine.OutcomeSuccess, e), nil
	case e.gone:
		return watchers.Report{}, fmt.Errorf("writing %s.%s: %w", b.name, key, errUndecided)
	default:
		rep := report(outcomeExists, e)
		rep.Message = fmt.Sprintf("%s.%s holds another value", b.name, key)
		return rep, nil
	}
}

// revision returns what the revision formula gives, 0 where there is none.
func (w *kvWriter) revision(look *watchers.Look) (uint64, error) {
	if w.spec.Revision == nil {
		return 0, nil
	}
	return wholeIn(look, "revision", w.spec.Revision)
}

// update writes over a value: of the given revision, or of the one that is there now.
func (w *kvWriter) update(ctx context.Context, b *bucket, look *watchers.Look, key string, value []byte) (watchers.Report, error) {
	expected, err := w.revision(look)
	if err != nil {
		return watchers.Report{}, err
	}
	if expected == 0 {
		e, err := b.read(ctx, key)
		if err != nil || e.gone {
			return report(outcomeMissing, e), err
		}
		expected = e.revision
	}
	revision, err := b.update(ctx, key, value, expected)
	if err == nil {
		return report(outcomeChanged, entry{key: key, value: value, revision: revision}), nil
	}
	return w.refused(ctx, b, key, value, expected, err)
}

// remove deletes a value: of the given revision, or whichever is there.
func (w *kvWriter) remove(ctx context.Context, b *bucket, look *watchers.Look, key string) (watchers.Report, error) {
	expected, err := w.revision(look)
	if err != nil {
		return watchers.Report{}, err
	}
	e, err := b.readAtLeast(ctx, key, expected)
	switch {
	case err != nil:
		return watchers.Report{}, err
	case e.gone:
		return report(machine.OutcomeSuccess, e), nil
	case expected == 0:
		expected = e.revision
	}
	revision, err := b.remove(ctx, key, expected)
	if err == nil {
		return report(outcomeDeleted, entry{key: key, revision: revision, gone: true}), nil
	}
	return w.refused(ctx, b, key, nil, expected, err)
}

// refused says what stands against a write that was refused for its revision.
func (w *kvWriter) refused(ctx context.Context, b *bucket, key string, value []byte, expected uint64, cause error) (watchers.Report, error) {
	if !errors.Is(cause, errConflict) {
		return watchers.Report{}, cause
	}
	e, err := b.readAtLeast(ctx, key, 1)
	switch {
	case err != nil:
		return watchers.Report{}, err
	case e.gone && value == nil, !e.gone && value != nil && bytes.Equal(e.value, value):
		return report(machine.OutcomeSuccess, e), nil // an earlier try, whose answer was lost
	case e.gone:
		return report(outcomeMissing, e), nil
	}
	rep := report(outcomeConflict, e)
	rep.Message = fmt.Sprintf("%s.%s has revision %d, not %d", b.name, key, e.revision, expected)
	return rep, nil
}

// claim writes to the first free slot, in an order that the value gives, so that values spread and a value finds its own slot again
// before it comes to a free one.
func (w *kvWriter) claim(ctx context.Context, b *bucket, look *watchers.Look, key string, value []byte) (watchers.Report, error) {
	slots, err := wholeIn(look, "slots", w.spec.Slots)
	if err != nil {
		return watchers.Report{}, err
	}
	first := hash(value) % slots
	for done, size := uint64(0), uint64(8); done < slots; done, size = done+size, min(4*size, 512) {
		var keys []string
		for i := done; i < min(done+size, slots); i++ {
			keys = append(keys, fmt.Sprintf("%s.%d", key, (first+i)%slots+1))
		}
		if rep, ended, err := claimOne(ctx, b, keys, value); ended {
			return rep, err
		}
	}
	rep := report(outcomeExhausted, entry{key: key})
	rep.Message = fmt.Sprintf("all %d slots of %s.%s are taken", slots, b.name, key)
	return rep, nil
}

func hash(value []byte) uint64 {
	h := fnv.New64a()
	h.Write(value) //nolint:errcheck // a hash does not fail
	return h.Sum64()
}

// claimOne claims one of a few slots. It has not ended the claim where all of them are taken by others.
func claimOne(ctx context.Context, b *bucket, keys []string, value []byte) (rep watchers.Report, ended bool, err error) {
	view, err := b.all(ctx, keys...)
	if err != nil {
		return rep, true, err
	}
	for _, key := range keys {
		e, there := view.entries[key]
		switch {
		case !there || e.gone:
			if rep, err = create(ctx, b, key, value); err != nil || rep.Outcome != outcomeExists {
				return rep, true, err
			}
		case bytes.Equal(e.value, value):
			return report(machine.OutcomeSuccess, e), true, nil
		}
	}
	return rep, false, nil
}
