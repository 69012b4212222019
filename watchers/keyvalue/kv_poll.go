package keyvalue

import (
	"context"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// follower compares what is read with what the machine knows, which is what it has under the data key.
type follower struct {
	spec     *kvSpec
	key      string
	dataKey  string
	known    string // canonical, "" for nothing
	revision uint64 // of the last value seen by this watcher, 0 for none
}

// begin takes from the look what the machine knows.
func (f *follower) begin(look *watchers.Look) error {
	key, err := expandKey(look, "key", f.spec.Key)
	if err != nil {
		return err
	}
	if key != f.key {
		f.key, f.revision = key, 0
	}
	switch {
	case f.spec.StoreKey != "":
		f.dataKey = f.spec.StoreKey
	case f.spec.BucketPrefix:
		f.dataKey = f.spec.Bucket + "_" + key
	default:
		f.dataKey = key
	}
	f.known = ""
	if v, ok := look.Data[f.dataKey]; ok && v != nil {
		f.known, err = canonical(v)
	}
	return err
}

// take reports what an entry means for the machine.
func (f *follower) take(look *watchers.Look, e entry) watchers.Report {
	rep := f.compare(look, e)
	state := "changed"
	switch rep.Outcome {
	case watchers.OutcomeUnchanged:
		state, rep.Quiet = "unchanged", true
	case machine.OutcomeFail:
		state = "error"
	}
	rep.State = map[string]any{"state": state, "key": f.key, "bucket": f.spec.Bucket, "mode": f.spec.Mode}
	return rep
}

func (f *follower) compare(look *watchers.Look, e entry) watchers.Report {
	if e.gone {
		f.revision = e.revision
		if f.known == "" {
			return watchers.Report{Outcome: watchers.OutcomeUnchanged}
		}
		f.known = ""
		return watchers.Report{Outcome: outcomeDeleted, Data: map[string]any{f.dataKey: nil}, Payload: payload(e, nil, 0)}
	}
	v, text, err := f.value(look, e)
	if err != nil {
		return watchers.Failed(fmt.Errorf("reading %s.%s: %w", f.spec.Bucket, f.key, err))
	}
	again := f.revision > 0 && e.revision > f.revision
	f.revision = e.revision
	rep := watchers.Report{Payload: payload(e, v, len(text))}
	switch {
	case text != f.known:
		rep.Outcome, rep.Data = outcomeChanged, map[string]any{f.dataKey: v}
		if f.known == "" {
			rep.Outcome = outcomeCreated
		}
		f.known = text
	case f.spec.OnSuccessfulGet || f.spec.OnMatchingUpdate && again:
		rep.Outcome = machine.OutcomeSuccess
	default:
		rep.Outcome = watchers.OutcomeUnchanged
	}
	return rep
}

// value returns what an entry comes to, and the same as canonical text.
func (f *follower) value(look *watchers.Look, e entry) (v any, text string, err error) {
	v = decode(e.value)
	if f.spec.HieraConfig {
		if v, err = resolve(v, look.Facts); err != nil {
			return nil, "", err
		}
	}
	if f.spec.Query != "" {
		if v, err = query(v, f.spec.Query); err != nil {
			return nil, "", err
		}
	}
	if text, err = canonical(v); err != nil {
		return nil, "", err
	}
	if len(text) > machine.MaxData {
		return nil, "", fmt.Errorf("the value takes %d bytes, and machine data has %d in all; store less with a query", len(text), machine.MaxData)
	}
	return v, text, nil
}

// kvPoller reads the key when the machine starts, at intervals, and on entry where the last look is older than the interval.
type kvPoller struct {
	spec        *kvSpec
	connections Connections
	follower    follower
	looked      bool // since the last plan
	ever        bool
	last        time.Duration // elapsed time of the last look
}

// Plan implements watchers.Planner.
func (w *kvPoller) Plan(p watchers.Planning) watchers.Due {
	if w.looked {
		w.looked, w.ever, w.last = false, true, p.Elapsed
	}
	wait := w.last + p.Interval - p.Elapsed
	switch {
	case p.Moment == watchers.Started, p.Moment == watchers.Entered && (!w.ever || wait <= 0):
		return watchers.Due{After: 1}
	case p.Interval <= 0:
		return watchers.Due{}
	case wait <= 0: // a look was left out
		return watchers.Due{After: p.Interval}
	default:
		return watchers.Due{After: wait}
	}
}

// Check reads the key.
func (w *kvPoller) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	w.looked = true
	w.follower.spec = w.spec
	if err := w.follower.begin(look); err != nil {
		return failed(err)
	}
	nc, err := connect(w.connections, look, w.spec.Connection)
	if err != nil {
		return failed(err)
	}
	b := bucket{nc: nc, name: w.spec.Bucket}
	e, err := b.readAtLeast(ctx, w.follower.key, w.follower.revision)
	if err != nil {
		return failed(err)
	}
	return w.follower.take(look, e)
}
