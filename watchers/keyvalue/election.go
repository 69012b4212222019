package keyvalue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// outcomeFollowed is the outcome of an election that another has won.
const outcomeFollowed = "followed"

// electionSpec is the properties of an election watcher.
type electionSpec struct {
	// Connection is the name of the connection.
	Connection string `yaml:"connection" default:"fleet"`
	// Bucket is the key-value bucket that elections are held in.
	Bucket string `yaml:"bucket" default:"ELECTIONS"`
	// Name is the election: those who stand in the same one elect one of them.
	Name watchers.Text `yaml:"name,required"`
	// TTL is how long a leader that is not heard of stays the leader to others. It stops a tenth of that earlier: no look of the machine
	// starts from then on until the machine knows of the loss, as after a pause of the process.
	TTL strict.Duration `yaml:"ttl" default:"10s" min:"1s" max:"1h"`
}

// Validate checks the bucket.
func (s *electionSpec) Validate(w *machine.WatcherSpec) (list diag.List) {
	checkBucket(w, s.Bucket, &list)
	return list
}

func electionType(c Connections) watchers.Type {
	who := map[string]machine.ValueType{"leader": machine.String, "term": machine.Integer}
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "election",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: who,
					Doc: "elected; the term grows with every leader, so that what is written with an older one can be refused"},
				{Name: machine.OutcomeFail, Class: machine.Failure, Payload: who,
					Doc: "deposed: the lease was lost, and somebody else may lead from now on; or the election could not be held"},
				{Name: outcomeFollowed, Class: machine.Neutral, Payload: who, Doc: "another leads"},
			},
		},
		Summary: "Elects one of those who stand, for as long as it can be heard of; leaving the states stands down.",
	}, func(spec *electionSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &election{spec: spec, connections: c, clock: elapsed} }}
	})
}

// election stands while its activation lasts: in every state that the watcher matches, those of the leader included.
type election struct {
	spec        *electionSpec
	connections Connections
	clock       func() time.Duration
	holding
}

// Holds implements watchers.Holder.
func (w *election) Holds() bool { return w.holds(w.clock()) }

// Listen implements watchers.Listener.
func (w *election) Listen(ctx context.Context, look *watchers.Look, emit func(watchers.Report)) watchers.Report {
	w.nothing()
	name, err := expandKey(look, "name", w.spec.Name)
	if err != nil {
		return failed(err)
	}
	return onConnections(ctx, w.connections, look, w.spec.Connection, func(nc *nats.Conn) error {
		return w.stand(ctx, nc, look, name, emit)
	})
}

// stand stands once: until elected and deposed, or ctx has ended, or another connection is to be used.
func (w *election) stand(ctx context.Context, nc *nats.Conn, look *watchers.Look, name string, emit func(watchers.Report)) error {
	l := newLease(w.connections, look, w.spec.Connection, w.spec.Bucket, name, w.spec.TTL.Std())
	l.clock = w.clock
	defer l.end(ctx, look, func(ctx context.Context, l *lease, b *bucket) error { return l.remove(ctx, b) })
	elected, err := (&campaign{lease: l, look: look, emit: emit}).run(ctx, nc)
	if err != nil || !elected {
		return err
	}
	who := map[string]any{"leader": look.Identity, "term": int(l.first)}
	w.until(l)
	emit(watchers.Report{Outcome: machine.OutcomeSuccess, Payload: who, Message: "elected"})
	tick := time.NewTicker(l.tick())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.nothing()
			return nil
		case <-tick.C:
			if err := l.beat(ctx); err != nil {
				emit(watchers.Report{Outcome: machine.OutcomeFail, Payload: who, Message: "deposed: " + err.Error()})
				return nil
			}
			w.until(l)
		}
	}
}

// campaign waits for the office to become free.
type campaign struct {
	lease *lease
	look  *watchers.Look
	emit  func(watchers.Report)
	// seen is the office's revision and since when it is that.
	seen  uint64
	since time.Duration
	// told is the last term that others were reported to lead, and trouble the last error that was logged.
	told    uint64
	trouble string
}

const (
	pollSlowest = 500 * time.Millisecond // between two reads of an office
	hintDelay   = 25 * time.Millisecond  // from hearing that something is written to its being there
)

// run returns true when elected, and false where ctx has ended or another connection is to be used.
func (c *campaign) run(ctx context.Context, nc *nats.Conn) (bool, error) {
	hints, stop, err := hint(ctx, nc, &bucket{nc: nc, name: c.lease.bucket}, c.lease.key)
	if err != nil {
		return false, err
	}
	defer leave(ctx, stop)
	poll := min(c.lease.lasts/4, pollSlowest)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case <-hints:
			timer.Reset(hintDelay)
			continue
		case <-timer.C:
			timer.Reset(poll)
		}
		elected, err := c.observe(ctx, nc)
		switch {
		case elected:
			return true, nil
		case errors.Is(err, errOther):
			return false, nil
		case errors.Is(err, errNoBucket):
			return false, err
		default:
			c.note(err)
		}
	}
}

// note logs trouble once, until it is another or over.
func (c *campaign) note(err error) {
	text := ""
	if err != nil && !errors.Is(err, errTaken) && !errors.Is(err, context.Canceled) {
		text = err.Error()
	}
	if text != "" && text != c.trouble {
		c.look.Log.Warn("election_disturbed", "machine", c.look.Machine, "watcher", c.look.Watcher, "error", text)
	}
	c.trouble = text
}

// errOther is that there is another connection under the name now.
var errOther = errors.New("another connection is to be used")

// observe reads the office once and takes it where it is free.
func (c *campaign) observe(ctx context.Context, nc *nats.Conn) (bool, error) {
	l := *c.lease
	e, err := within(ctx, l.lasts/3, func(ctx context.Context) (entry, error) {
		b, err := l.open()
		switch {
		case err != nil:
			return entry{}, err
		case b.nc != nc:
			return entry{}, errOther
		}
		return b.read(ctx, l.key)
	})
	if err != nil {
		return false, err
	}
	now := l.clock()
	v, term, lasts := readLease(e, l.lasts)
	switch {
	case e.gone:
		return c.take(ctx, e.revision, 0)
	case v.Session == l.value.Session: // written by us, and the answer was lost
		return c.take(ctx, e.revision, term)
	case e.revision != c.seen:
		c.seen, c.since = e.revision, now
		c.follow(v, term)
		return false, nil
	case now-c.since < lasts:
		return false, nil
	default:
		return c.take(ctx, e.revision, 0)
	}
}

func (c *campaign) take(ctx context.Context, revision, term uint64) (bool, error) {
	err := c.lease.acquire(ctx, c.lease.lasts/2, revision, term)
	return err == nil && c.lease.left() > 0, err
}

// follow reports that another leads, once a term.
func (c *campaign) follow(v leaseValue, term uint64) {
	if term == c.told {
		return
	}
	c.told = term
	c.emit(watchers.Report{
		Outcome: outcomeFollowed, Payload: map[string]any{"leader": v.Owner, "term": int(term)}, Message: v.Owner + " leads",
	})
}

// hint tells when something is written to a key, whether or not it will be stored, without a consumer: what is published to a
// bucket passes by whoever subscribes to the key's subject.
func hint(ctx context.Context, nc *nats.Conn, b *bucket, key string) (<-chan struct{}, func() error, error) {
	hints := make(chan struct{}, 1)
	sub, err := subscribe(ctx, nc, b.subject(key), func(*nats.Msg) {
		select {
		case hints <- struct{}{}:
		default: // one that nobody has taken yet says the same
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return hints, sub.Unsubscribe, nil
}
