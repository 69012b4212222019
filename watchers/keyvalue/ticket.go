package keyvalue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
)

// A governor's tickets are keys NAME.NUMBER, each written by its holder alone, so that any number of contenders never write against
// each other but when they choose a number. The number means nothing. The revision that a ticket was first written with is its place,
// and its fencing token: the log of the bucket orders arrivals. Who sees fewer tickets with an earlier place than the capacity is let
// in, and needs nobody's consent: no ticket can ever come before it. Seeing a state that is a little old is safe, as tickets only ever
// leave the queue ahead.
//
// A ticket that is not renewed for a whole lease is removed by compare-and-set, by any of those that wait behind. The key NAME is a
// bell: who leaves writes its ticket there, so that the others need not ask all the time. A bell that is not heard costs a delay.

// ticket is a place in the queue of a governor.
type ticket struct {
	lease    *lease
	name     string
	capacity int
	limitFor int // how many are let in for the same; 0 is no limit
	admitted bool
	queued   bool                // it was told that there is no room
	ahead    map[string]observed // the tickets of those that came earlier, by key
	next     time.Duration       // when to count again
	backoff  time.Duration       // after a bell that was heard before its effect is seen
	bells    chan string         // tickets that are gone
	bell     *nats.Subscription
	nc       *nats.Conn // that the bell is heard on
}

// observed is a ticket of another: its revision, and since when it is known to have that.
type observed struct {
	place    uint64
	revision uint64
	since    time.Duration
	lasts    time.Duration
	whom     string
}

// maxWhom bounds what is kept of whom a ticket is for, in bytes.
const maxWhom = 300

// countSoonest is the least time between a count and the next one, and what every ticket ahead adds to it.
const countSoonest = 50 * time.Millisecond

func newTicket(w *governor, look *watchers.Look, name string) *ticket {
	l := newLease(w.connections, look, w.spec.Connection, w.spec.Bucket, "", w.spec.Lease.Std())
	l.clock = w.clock
	return &ticket{lease: l, name: name, capacity: w.spec.Capacity, limitFor: w.spec.LimitFor, ahead: map[string]observed{}}
}

// maxTickets is how many a governor has at most, so that a broker lists them all at once (1,024).
const maxTickets = 1000

var errFull = fmt.Errorf("the governor has %d tickets, and no more", maxTickets)

// enter takes a place: a number that nobody has. Numbers are used again, so that what leavers leave in the bucket stays little, and
// they are chosen by chance, so that those who come at once seldom choose the same. It takes its time: a ticket whose answer comes
// late is renewed before it is used.
func (t *ticket) enter(ctx context.Context) error {
	list, err := t.list(ctx, readTimeout)
	if err != nil {
		return err
	}
	live := 0
	for key, e := range list.view.entries {
		if v, first, _ := readLease(e, 0); !e.gone && v.Session == t.lease.value.Session {
			t.lease.key = key // written by an earlier try, whose answer was lost
			return t.lease.acquire(ctx, readTimeout, e.revision, first)
		}
		if !e.gone {
			live++
		}
	}
	if live >= maxTickets {
		return errFull
	}
	for _, number := range rand.Perm(min(2*live+16, maxTickets)) {
		key := fmt.Sprintf("%s.%d", t.name, number)
		e, there := list.view.entries[key]
		if there && !e.gone {
			continue
		}
		t.lease.key = key
		if err := t.lease.acquire(ctx, readTimeout, e.revision, 0); !errors.Is(err, errTaken) {
			return err
		}
	}
	return fmt.Errorf("entering the governor %s: others took every number that was free: %w", t.name, errTaken)
}

// wait is how long nothing is to be done.
func (t *ticket) wait() time.Duration {
	until := t.lease.tick()
	if !t.admitted {
		until = min(until, t.next-t.lease.clock())
	}
	return max(until, time.Millisecond)
}

// listen hears the bell on a connection. A ring that nobody has time to hear is lost.
func (t *ticket) listen(ctx context.Context, nc *nats.Conn) error {
	bells := make(chan string, 64)
	b := bucket{nc: nc, name: t.lease.bucket}
	sub, err := subscribe(ctx, nc, b.subject(t.name), func(m *nats.Msg) {
		select {
		case bells <- string(m.Data):
		default:
		}
	})
	if err != nil {
		return err
	}
	t.nc, t.bells, t.bell = nc, bells, sub
	return nil
}

// heard takes a ticket that is gone off the list. Only those that may now be let in count again.
func (t *ticket) heard(gone string) {
	if _, was := t.ahead[gone]; !was {
		return
	}
	delete(t.ahead, gone)
	if t.hasRoom() {
		t.next, t.backoff = 0, countSoonest
	}
}

// listing is a state of the queue, and where it is from.
type listing struct {
	bucket *bucket
	view   snapshot
}

func (t *ticket) list(ctx context.Context, limit time.Duration) (listing, error) {
	l := *t.lease
	return within(ctx, limit, func(ctx context.Context) (listing, error) {
		b, err := l.open()
		if err != nil {
			return listing{}, err
		}
		view, err := b.all(ctx, t.name+".*")
		return listing{b, view}, err
	})
}

// count lists the tickets, removes those that have run out, and lets this one in where there is room.
func (t *ticket) count(ctx context.Context) error {
	list, err := t.list(ctx, t.lease.lasts/2)
	if err != nil {
		return err
	}
	if list.bucket.nc != t.nc {
		leave(ctx, t.bell.Unsubscribe)
		if err := t.listen(ctx, list.bucket.nc); err != nil {
			return err
		}
	}
	now := t.lease.clock()
	own, _, _ := readLease(list.view.entries[t.lease.key], 0)
	if own.Session != t.lease.value.Session || list.view.upTo < t.lease.first {
		t.next = now + countSoonest // a replica that does not know of our ticket may not know of an earlier one either
		return nil
	}
	t.observe(list.view, now)
	t.expire(ctx, list.bucket, now)
	if t.hasRoom() && t.lease.left() > 0 {
		t.admitted, t.lease.value.Admitted = true, true
		t.lease.next = 0 // shows in the bucket that it is let in
		return nil
	}
	t.schedule(now)
	return nil
}

// observe notes who is ahead, and since when their tickets have the revision that they have.
func (t *ticket) observe(view snapshot, now time.Duration) {
	ahead := map[string]observed{}
	for key, e := range view.entries {
		v, first, lasts := readLease(e, t.lease.lasts)
		if key == t.lease.key || e.gone || first >= t.lease.first {
			continue
		}
		o, known := t.ahead[key]
		if !known || o.revision != e.revision {
			o = observed{place: first, revision: e.revision, since: now}
		}
		o.lasts, o.whom = lasts, v.For
		ahead[key] = o
	}
	t.ahead = ahead
}

// schedule plans the next count: soon after a bell whose effect was not seen, else at half of the lease or when a ticket ahead
// would run out. A long queue is counted less often, as every count lists all of it.
func (t *ticket) schedule(now time.Duration) {
	if t.backoff > 0 {
		t.next = now + t.backoff
		if t.backoff *= 2; t.backoff > t.lease.lasts/2 {
			t.backoff = 0
		}
		return
	}
	t.next = now + t.lease.lasts/2 + time.Duration(len(t.ahead))*countSoonest
	for _, key := range t.front() {
		o := t.ahead[key]
		t.next = min(t.next, max(o.since+o.lasts+time.Duration(len(t.ahead))*countSoonest, now+countSoonest))
	}
}

// expire removes tickets that keep others from being let in and have run out: where they still have the revision that they were seen
// with for a whole lease. Those that wait far behind leave it to those in front for a while, lest all of them do it at once.
func (t *ticket) expire(ctx context.Context, b *bucket, now time.Duration) {
	patience := time.Duration(len(t.ahead)) * countSoonest
	for _, key := range t.front() {
		o := t.ahead[key]
		if now-o.since < o.lasts+patience {
			continue
		}
		removed, err := within(ctx, t.lease.lasts/2, func(ctx context.Context) (bool, error) {
			if _, err := b.remove(ctx, key, o.revision); err != nil {
				return false, err // it was renewed after all, or removed by another
			}
			return true, ring(b, t.name, key)
		})
		if removed {
			delete(t.ahead, key)
		}
		if err != nil {
			return // the next count shows
		}
	}
}

// before returns those ahead that have been let in, or will be before this one, in their order, and whether this one waits for another that is
// for the same. A ticket that waits for one of the same takes no place: it gets that one's when it leaves, so that there are never more.
func (t *ticket) before() (keys []string, behindOwn bool) {
	count := map[string]int{}
	for _, key := range slices.SortedFunc(maps.Keys(t.ahead), func(a, b string) int { return cmp.Compare(t.ahead[a].place, t.ahead[b].place) }) {
		whom := t.ahead[key].whom
		if t.limitFor > 0 && whom != "" {
			if count[whom] == t.limitFor {
				continue
			}
			count[whom]++
		}
		keys = append(keys, key)
	}
	own := t.lease.value.For
	return keys, t.limitFor > 0 && own != "" && count[own] == t.limitFor
}

// hasRoom reports whether this one may be let in.
func (t *ticket) hasRoom() bool {
	keys, behindOwn := t.before()
	return len(keys) < t.capacity && !behindOwn
}

// front returns those ahead that have been let in, or may be at any time, and where this one waits for another of the same all before it.
func (t *ticket) front() []string {
	keys, behindOwn := t.before()
	if behindOwn {
		return keys
	}
	return keys[:min(len(keys), t.capacity)]
}

// ring tells those that wait that a ticket is gone.
func ring(b *bucket, name, key string) error { return b.nc.Publish(b.subject(name), []byte(key)) }

// giveBack gives up the place.
func (t *ticket) giveBack(ctx context.Context, l *lease, b *bucket) error {
	if l.key == "" {
		return nil // it never had one
	}
	if err := l.remove(ctx, b); err != nil {
		return err
	}
	return ring(b, t.name, l.key)
}
