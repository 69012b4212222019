package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// outcomeQueued is the outcome of a governor that has no room at once.
const outcomeQueued = "queued"

// governorSpec is the properties of a governor watcher.
type governorSpec struct {
	// Connection is the name of the connection.
	Connection string `yaml:"connection" default:"fleet"`
	// Bucket is the key-value bucket that tickets are in.
	Bucket string `yaml:"bucket" default:"GOVERNORS"`
	// Name is the governor: those who use the same one share its capacity.
	Name watchers.Text `yaml:"name,required"`
	// Capacity is how many are let in at once. There are 1,000 tickets in all, those that wait included.
	Capacity int `yaml:"capacity,required" min:"1" max:"1000"`
	// For is whom the ticket is for, such as the node on whose behalf the machine waits, where that is not the machine's own identity.
	For watchers.Text `yaml:"for" empty:"refused"`
	// LimitFor is how many are let in at once for the same, whoever has asked for them and wherever; others for the same wait meanwhile, and
	// take nobody's place. Absent is no limit.
	LimitFor int `yaml:"limit_for" min:"1" max:"1000" empty:"refused"`
	// Lease is how long a ticket that is not renewed keeps its place. Its holder stops a tenth of that earlier: no look of the machine
	// starts from then on until the machine knows of the loss, as after a pause of the process.
	Lease strict.Duration `yaml:"lease" default:"30s" min:"1s" max:"1d"`
}

// Validate checks the bucket, and holds for and limit_for against each other.
func (s *governorSpec) Validate(w *machine.WatcherSpec) (list diag.List) {
	checkBucket(w, s.Bucket, &list)
	switch {
	case !s.For.Empty() && s.LimitFor == 0:
		list.Add(diag.Error, CodeMissing, place(w, "for"), "add limit_for, such as limit_for: 1, or leave for out", "for: without limit_for it bounds nothing")
	case s.For.Empty() && s.LimitFor > 0:
		example := `'{{ lookup "input.token" "" }}'`
		if w.Marked {
			example = "${ input.token }"
		}
		list.Add(diag.Error, CodeMissing, place(w, "limit_for"), "add for, such as for: "+example, "limit_for: nothing says whom a ticket is for")
	}
	return list
}

func governorType(c Connections) watchers.Type {
	ticket := map[string]machine.ValueType{"ticket": machine.String, "token": machine.Integer}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "governor",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: ticket,
					Doc: "admitted; the token grows from one that is admitted to the next, so that what is written with an older one can be refused"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: ticket,
					Doc: "the ticket was lost after it had been admitted, and its place may be another's; or the governor could not be asked"},
				{Name: outcomeQueued, Class: machine.Neutral,
					Payload: map[string]machine.ValueType{"ticket": machine.String, "ahead": machine.Integer},
					Doc:     "there is no room yet; so many came earlier"},
			},
		},
		Summary: "Lets a number of those who ask in at once, in the order in which they came, across the fleet; leaving the states lets the next in.",
	}, func(spec *governorSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &governor{spec: spec, connections: c, clock: elapsed} }}
	})
}

// governor queues and holds while its activation lasts: in every state that the watcher matches.
type governor struct {
	spec        *governorSpec
	connections Connections
	clock       func() time.Duration
	holding
}

// Holds implements watchers.Holder.
func (w *governor) Holds() bool { return w.holds(w.clock()) }

// Listen implements watchers.Listener.
func (w *governor) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	w.nothing()
	name, err := expandKey(look, "name", w.spec.Name)
	if err != nil {
		return failed(err)
	}
	whom, err := look.Expand(w.spec.For)
	if err != nil {
		return failed(fmt.Errorf("for: %w", err))
	}
	return onConnections(ctx, w.connections, look, w.spec.Connection, func(nc *nats.Conn) error {
		err := w.queue(ctx, nc, look, name, whom, emit)
		if err == nil || errors.Is(err, errNoBucket) {
			return err
		}
		look.Log.Warn("governor_disturbed", "machine", look.Machine, "watcher", look.Watcher, "error", err)
		_ = watchers.Rest(ctx, rand.N(w.spec.Lease.Std())) // many are disturbed by the same
		return nil
	})
}

// queue takes one ticket and keeps it: until it is lost, or ctx has ended.
func (w *governor) queue(ctx context.Context, nc *nats.Conn, look *watchers.Look, name, whom string, emit func(watchers.Report)) error {
	t := newTicket(w, look, name)
	t.lease.value.For = diag.Brief(whom, maxWhom)
	if err := t.listen(ctx, nc); err != nil {
		return err
	}
	defer func() {
		leave(ctx, t.bell.Unsubscribe)
		t.lease.end(ctx, look, t.giveBack)
	}()
	if err := t.enter(ctx); err != nil {
		return err
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.nothing()
			return nil
		case gone := <-t.bells:
			t.heard(gone)
		case <-tick.C:
		}
		if err := t.step(ctx, emit); err != nil {
			return t.lost(err, emit)
		}
		if t.admitted {
			w.until(t.lease)
		}
		tick.Reset(t.wait())
	}
}

// step renews the ticket and, while it waits, looks who is ahead.
func (t *ticket) step(ctx context.Context, emit func(watchers.Report)) error {
	if t.admitted {
		return t.lease.beat(ctx)
	}
	if err := t.lease.extend(ctx); err != nil || t.lease.clock() < t.next {
		return err
	}
	err := t.count(ctx)
	switch {
	case errors.Is(err, errNoBucket):
		return err
	case err != nil:
		t.next = t.lease.clock() + t.lease.lasts/2
		return nil //nolint:nilerr // the ticket is good as long as it is renewed
	}
	t.tell(emit)
	return nil
}

// tell reports what a count has found: once that others are ahead, once that none are any more.
func (t *ticket) tell(emit func(watchers.Report)) {
	switch {
	case t.admitted:
		emit(watchers.Report{Outcome: machine.OutcomeSuccess, Payload: t.payload(), Message: "admitted"})
	case !t.queued && len(t.ahead) > 0:
		t.queued = true
		emit(watchers.Report{
			Outcome: outcomeQueued, Payload: map[string]any{"ticket": t.lease.key, "ahead": len(t.ahead)},
			Message: fmt.Sprintf("%d came earlier", len(t.ahead)),
		})
	}
}

// lost tells the holder. A ticket that was not let in yet is taken anew, at the end of the queue.
func (t *ticket) lost(cause error, emit func(watchers.Report)) error {
	if !t.admitted {
		return cause
	}
	emit(watchers.Report{Outcome: machine.OutcomeFail, Payload: t.payload(), Message: "lost: " + cause.Error()})
	return nil
}

func (t *ticket) payload() map[string]any {
	return map[string]any{"ticket": t.lease.key, "token": int(t.lease.first)}
}
