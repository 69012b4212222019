package keyvalue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
)

// A lease is a key that its owner renews by compare-and-set. No two clocks are compared. The owner counts from when it sent the
// last renewal that was acknowledged; whoever waits counts from when it first saw the key's present revision, which is later. So
// the owner's time is up first, and a tenth of it before that it has stopped, for clocks that run at different speeds.

// leaseValue is what stands in the key of a lease, for those that wait and for people.
type leaseValue struct {
	Owner    string `json:"owner"` // the identity
	Machine  string `json:"machine"`
	Instance string `json:"instance,omitempty"`
	Session  string `json:"session"` // random: tells this hold from every other
	// First is the revision that the hold began with; it is the key's own where it is 0.
	First uint64 `json:"first,omitempty"`
	// Seconds is how long the lease lasts without a renewal.
	Seconds float64 `json:"lease_seconds"`
	// For is whom a governor's ticket is for, where that is not the owner.
	For string `json:"for,omitempty"`
	// Admitted is set in a governor's ticket that has been let in.
	Admitted bool `json:"admitted,omitempty"`
}

// readLease reads the value of a lease. One that nobody can read belongs to nobody known, and lasts as long as fallback.
func readLease(e entry, fallback time.Duration) (v leaseValue, first uint64, lasts time.Duration) {
	if json.Unmarshal(e.value, &v) != nil {
		v = leaseValue{}
	}
	first, lasts = v.First, time.Duration(v.Seconds*float64(time.Second))
	if first == 0 {
		first = e.revision
	}
	if lasts <= 0 {
		lasts = fallback
	}
	return v, first, lasts
}

// lease is held, or being acquired, by this process.
type lease struct {
	connections Connections
	id, using   string // who uses which connection
	bucket, key string
	lasts       time.Duration
	clock       func() time.Duration
	value       leaseValue
	grip

	next    time.Duration       // when the next renewal is due
	asked   <-chan answer[grip] // a renewal under way, nil for none
	until   time.Duration       // when its answer is given up
	problem error               // why the last renewal was not acknowledged
}

// grip is what acknowledgements have come to.
type grip struct {
	revision uint64        // the key's last known one that is ours; 0 before it is acquired
	first    uint64        // the one that the hold began with
	renewed  time.Duration // when the last acknowledged write was sent
}

var (
	errLost   = errors.New("the lease is lost")
	errTaken  = errors.New("somebody else holds it")
	errSilent = errors.New("there was no answer")
)

// newLease makes a lease with a session of its own, which is not acquired yet.
func newLease(c Connections, look *watchers.Look, using, bucket, key string, lasts time.Duration) *lease {
	return &lease{
		connections: c, id: look.Identity, using: using, bucket: bucket, key: key, lasts: lasts, clock: elapsed,
		value: leaseValue{
			Owner: look.Identity, Machine: look.Machine, Instance: look.Instance, Session: rand.Text(), Seconds: lasts.Seconds(),
		},
	}
}

// tick is how often a lease is looked after. It also bounds how late a suspension is noticed, which timers do not count.
func (l *lease) tick() time.Duration { return min(max(l.lasts/20, 10*time.Millisecond), time.Second) }

// left is how long the lease may still be acted on.
func (l *lease) left() time.Duration { return l.renewed + l.lasts - l.lasts/10 - l.clock() }

func (l *lease) open() (*bucket, error) {
	nc, err := l.connections.Conn(l.id, l.using)
	if err != nil {
		return nil, err
	}
	return &bucket{nc: nc, name: l.bucket}, nil
}

func (l *lease) body() []byte {
	v := l.value
	v.First = l.first
	doc, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encoding a lease: %v", err)) // texts and numbers always can be
	}
	return doc
}

// begin notes an acknowledged write.
func (l *lease) begin(g grip) {
	l.grip, l.next, l.problem = g, g.renewed+l.lasts/3, nil
}

// write writes the key where its revision is the given one, and returns the grip that gives.
func (l *lease) write(ctx context.Context, revision uint64) (grip, error) {
	sent := l.clock()
	b, err := l.open()
	if err != nil {
		return l.grip, err
	}
	written, err := b.update(ctx, l.key, l.body(), revision)
	if err != nil {
		return l.grip, err
	}
	g := grip{revision: written, first: l.first, renewed: sent}
	if g.first == 0 {
		g.first = written
	}
	return g, nil
}

// acquire writes the key where its revision is the given one, for a hold that began with first, 0 for now. It waits for the answer so
// long and no longer. errTaken says that the revision is another.
func (l *lease) acquire(ctx context.Context, limit time.Duration, revision, first uint64) error {
	try := *l
	try.first = first
	g, err := within(ctx, limit, func(ctx context.Context) (grip, error) { return try.write(ctx, revision) })
	switch {
	case errors.Is(err, errConflict):
		return errTaken
	case err != nil:
		return err
	}
	l.begin(g)
	return nil
}

// beat renews the lease when that is due, without waiting for it. It returns errLost as soon as the lease may not be acted on.
func (l *lease) beat(ctx context.Context) error {
	if err := l.extend(ctx); err != nil {
		return err
	}
	switch {
	case l.left() > 0:
		return nil
	case l.problem != nil:
		return fmt.Errorf("%w: no renewal was acknowledged in time: %w", errLost, l.problem)
	case l.asked != nil:
		return fmt.Errorf("%w: no renewal was acknowledged in time: %w", errLost, errSilent)
	default:
		return fmt.Errorf("%w: this process or host stood still for longer than the lease", errLost)
	}
}

// extend renews the lease when that is due. It returns errLost only where the key is another's or gone: while nobody acts on the
// lease, one whose renewals are late is as good as before.
func (l *lease) extend(ctx context.Context) error {
	if err := l.hear(); err != nil {
		return err
	}
	if now := l.clock(); l.asked == nil && now >= l.next {
		l.until = now + l.lasts/2
		try := *l
		l.asked = ask(ctx, func(ctx context.Context) (grip, error) { return try.renew(ctx, try.lasts/2) })
	}
	return nil
}

// hear takes the answer to a renewal, if there is one.
func (l *lease) hear() error {
	select {
	case a := <-l.asked:
		l.asked = nil
		switch {
		case a.err == nil:
			l.begin(a.value)
		case errors.Is(a.err, errLost):
			return a.err
		default:
			l.grip = a.value
			l.problem, l.next = a.err, l.clock()+l.tick()
		}
	default:
		if l.asked != nil && l.clock() >= l.until {
			l.asked, l.problem = nil, errSilent
		}
	}
	return nil
}

// renew writes the key anew. Where that was refused although the key is ours, an earlier renewal was stored whose answer was lost:
// it counts for nothing, but the next one builds on it.
func (l *lease) renew(ctx context.Context, limit time.Duration) (grip, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	g, err := l.write(ctx, l.revision)
	if !errors.Is(err, errConflict) {
		return g, err
	}
	b, openErr := l.open()
	if openErr != nil {
		return g, openErr
	}
	e, readErr := b.readAtLeast(ctx, l.key, l.revision+1)
	if readErr != nil {
		return g, readErr
	}
	v, _, _ := readLease(e, l.lasts)
	switch {
	case e.gone || v.Session != l.value.Session:
		return g, fmt.Errorf("%w: %s.%s was taken by %s", errLost, l.bucket, l.key, ownerOf(e, v))
	case e.revision > l.revision:
		g.revision = e.revision
	}
	return g, err
}

func ownerOf(e entry, v leaseValue) string {
	switch {
	case e.gone:
		return "nobody: it was removed"
	case v.Owner == "":
		return "somebody unknown"
	default:
		return v.Owner
	}
}

// releaseTimeout bounds a release. One that does not succeed ends by itself when the lease has run out.
const releaseTimeout = 500 * time.Millisecond

// mine reads the key and returns its revision where it is ours: a write whose answer was lost is, too.
func (l *lease) mine(ctx context.Context, b *bucket) (uint64, bool) {
	e, err := b.readAtLeast(ctx, l.key, l.revision)
	if err != nil || e.gone {
		return 0, false
	}
	v, _, _ := readLease(e, l.lasts)
	return e.revision, v.Session == l.value.Session
}

// giver gives a lease back.
type giver func(ctx context.Context, l *lease, b *bucket) error

// end releases the lease, and logs where that does not succeed: it then ends by itself.
func (l *lease) end(ctx context.Context, look *watchers.Look, give giver) {
	if err := l.release(ctx, give); err != nil {
		look.Log.Debug("lease_not_released", "machine", look.Machine, "watcher", look.Watcher, "error", err)
	}
}

// release gives the lease back with give. ctx has ended already, so that only its values are used.
func (l *lease) release(ctx context.Context, give giver) error {
	try := *l
	_, err := within(context.WithoutCancel(ctx), releaseTimeout, func(ctx context.Context) (struct{}, error) {
		b, err := try.open()
		if err == nil && b.nc.Status() != nats.CONNECTED {
			err = errors.New("the connection is down; the lease ends by itself")
		}
		if err == nil {
			err = give(ctx, &try, b)
		}
		return struct{}{}, err
	})
	return err
}

// remove deletes the key, if it is ours.
func (l *lease) remove(ctx context.Context, b *bucket) error {
	if l.revision > 0 {
		if _, err := b.remove(ctx, l.key, l.revision); !errors.Is(err, errConflict) {
			return err
		}
	}
	revision, ours := l.mine(ctx, b)
	if !ours {
		return nil
	}
	_, err := b.remove(ctx, l.key, revision)
	return err
}
