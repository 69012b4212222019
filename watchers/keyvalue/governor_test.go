package keyvalue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

const governor1s = "name: upgrades\ncapacity: %d\nlease: 1s"

func contender(t testing.TB, c Connections, id string, capacity int) *hearing {
	t.Helper()
	return stands(t, c, "governor", fmt.Sprintf(governor1s, capacity), id)
}

func tokenOf(r told) int { return r.Payload["token"].(int) }

// tickets returns the keys of the governor that are in the bucket.
func tickets(t testing.TB, l line) []string {
	t.Helper()
	view, err := (&bucket{nc: l.nc, name: "GOVERNORS"}).all(t.Context(), "upgrades.*")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for key, e := range view.entries {
		if !e.gone {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestE35OrderOfArrival(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	const many = 6
	var all []*hearing
	for i := range many {
		h := stands(t, l, "governor", lasting(fmt.Sprintf(governor1s, 2)), fmt.Sprintf("h%d", i))
		if i < 2 {
			h.next(machine.OutcomeSuccess, 1)
		} else if queued := h.next(outcomeQueued, 1); queued.Payload["ahead"] != i {
			t.Errorf("h%d has %v ahead", i, queued.Payload["ahead"])
		}
		all = append(all, h)
	}
	last := 0
	for i, h := range all {
		admitted := h.next(machine.OutcomeSuccess, 1)
		if tokenOf(admitted) <= last {
			t.Errorf("h%d has the token %d after %d", i, tokenOf(admitted), last)
		}
		last = tokenOf(admitted)
		for j := i + 2; j < many; j++ {
			if slices.Contains(all[j].outcomes(), machine.OutcomeSuccess) {
				t.Fatalf("h%d is let in while h%d has not left", j, i)
			}
		}
		stop := elapsed()
		h.stop()
		if i+2 < many {
			if took := all[i+2].next(machine.OutcomeSuccess, 1).at - stop; took > longLease/2 {
				t.Errorf("h%d is let in %s after h%d has left", i+2, took, i)
			}
		}
	}
	await(t, "bucket without tickets", func() bool { return len(tickets(t, l)) == 0 })
}

func TestE35LeasesAreRenewed(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	holder, waiter := contender(t, l, "h1", 1), (*hearing)(nil)
	admitted := holder.next(machine.OutcomeSuccess, 1)
	waiter = contender(t, l, "h2", 1)
	waiter.next(outcomeQueued, 1)
	await(t, "three leases' time", func() bool { return elapsed()-admitted.at > 3*time.Second })
	if got := holder.outcomes(); !slices.Equal(got, []string{machine.OutcomeSuccess}) {
		t.Errorf("the holder is told %v", got)
	}
	if got := waiter.outcomes(); !slices.Equal(got, []string{outcomeQueued}) {
		t.Errorf("who waits is told %v", got)
	}
}

func TestE35HolderIsToldWhenItLostItsLease(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	paused, g := gated(t, s.ClientURL())
	holder := contender(t, paused, "h1", 1)
	admitted := holder.next(machine.OutcomeSuccess, 1)
	waiter := contender(t, l, "h2", 1)
	waiter.next(outcomeQueued, 1)
	g.hold(writing)
	next := waiter.next(machine.OutcomeSuccess, 1)
	lost := holder.next(machine.OutcomeFail, 1)
	if lost.at >= next.at {
		t.Errorf("the holder was told %s after the next one was let in", lost.at-next.at)
	}
	if tokenOf(next) <= tokenOf(admitted) || tokenOf(lost) != tokenOf(admitted) {
		t.Errorf("tokens %d, %d lost, %d", tokenOf(admitted), tokenOf(lost), tokenOf(next))
	}
	g.open(writing)
	holder.next(outcomeQueued, 1) // it asks again, behind
	if got := waiter.outcomes(); slices.Contains(got, machine.OutcomeFail) {
		t.Errorf("the new holder was disturbed: %v", got)
	}
}

// TestE35OnlyTheOwnerReleases leaves while waiting, and while another holds: the holder's ticket stays.
func TestE35OnlyTheOwnerReleases(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	holder := contender(t, l, "h1", 1)
	ticket := holder.next(machine.OutcomeSuccess, 1).Payload["ticket"]
	waiter := contender(t, l, "h2", 1)
	waiter.next(outcomeQueued, 1)
	waiter.stop()
	await(t, "the holder's ticket alone", func() bool { return slices.Equal(tickets(t, l), []string{ticket.(string)}) })
	// A release of one who lost its ticket long ago does not touch that of another either.
	stale := newTicket(&governor{spec: &governorSpec{Bucket: "GOVERNORS"}, connections: l, clock: elapsed}, newLook(nil), "upgrades")
	if err := stale.lease.release(t.Context(), stale.giveBack); err != nil {
		t.Fatal(err)
	}
	if got := tickets(t, l); !slices.Equal(got, []string{ticket.(string)}) || len(holder.outcomes()) != 1 {
		t.Errorf("the tickets are %v, the holder is told %v", got, holder.outcomes())
	}
}

func TestE35RemovedTicketIsNoticed(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	holder := contender(t, l, "h1", 1)
	admitted := holder.next(machine.OutcomeSuccess, 1)
	if err := kv.Delete(t.Context(), admitted.Payload["ticket"].(string)); err != nil {
		t.Fatal(err)
	}
	if lost := holder.next(machine.OutcomeFail, 1); !strings.Contains(lost.Message, "removed") {
		t.Errorf("the holder is told %q", lost.Message)
	}
	holder.next(machine.OutcomeSuccess, 2)
}

// stay is one contender's stay: its token, and when it was let in and left.
type stay struct {
	token    int
	in, left time.Duration
}

// TestE35HundredContenders holds order, capacity and progress with a hundred on one governor, behind some that have died in the queue.
func TestE35HundredContenders(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	const many, capacity, dead = 100, 4, 10
	properties := fmt.Sprintf("name: upgrades\ncapacity: %d\nlease: 3s", capacity)
	for i := range dead {
		w := newWatcher(t, l, "governor", properties).(*governor)
		if err := newTicket(w, newLook(nil), "upgrades").enter(t.Context()); err != nil {
			t.Fatalf("dead contender %d: %v", i, err)
		}
	}
	began := elapsed()
	stays := make(chan stay, many)
	var all sync.WaitGroup
	for range many {
		w := newWatcher(t, l, "governor", properties).(watchers.Listener)
		all.Go(func() { stays <- visit(t, w) })
	}
	all.Wait()
	close(stays)
	t.Logf("%d contenders behind %d dead ones in %s", many, dead, elapsed()-began)
	var visits []stay
	for v := range stays {
		visits = append(visits, v)
	}
	for _, v := range visits {
		if n := earlierThan(visits, v); n >= capacity {
			t.Errorf("token %d was let in while %d that came earlier had not left", v.token, n)
		}
	}
	// A host that is slow does not wait until its ticket is taken back. Those that are left must not keep others out.
	if n := len(tickets(t, l)); n >= capacity {
		t.Errorf("%d tickets are left", n)
	}
	if info := streamOf(t, l, "KV_GOVERNORS"); info.State.Msgs > 3*(many+dead) {
		t.Errorf("%d messages are left in the bucket", info.State.Msgs)
	}
}

// visit waits until it is let in, and leaves at once.
func visit(t *testing.T, w watchers.Listener) (v stay) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	w.Listen(ctx, newLook(nil), func(r watchers.Report) {
		switch r.Outcome {
		case machine.OutcomeFail:
			t.Errorf("lost: %s", r.Message)
		case machine.OutcomeSuccess:
			v = stay{token: r.Payload["token"].(int), in: elapsed(), left: elapsed()}
			leave()
		}
	})
	return v
}

// earlierThan counts who came before a contender and had not left when it was let in.
func earlierThan(all []stay, v stay) int {
	n := 0
	for _, other := range all {
		if other.token < v.token && other.left > v.in {
			n++
		}
	}
	return n
}

func TestE35FullGovernorRefuses(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	for i := range maxTickets {
		must[uint64](t)(kv.PutString(t.Context(), fmt.Sprintf("upgrades.%d", i), `{"owner":"x","lease_seconds":3600}`))
	}
	w := newWatcher(t, l, "governor", fmt.Sprintf(governor1s, 1)).(*governor)
	if err := newTicket(w, newLook(nil), "upgrades").enter(t.Context()); !errors.Is(err, errFull) {
		t.Errorf("%v", err)
	}
	h := contender(t, l, "h1", 1)
	if err := kv.Delete(t.Context(), "upgrades.500"); err != nil {
		t.Fatal(err)
	}
	if queued := h.next(outcomeQueued, 1); queued.Payload["ticket"] != "upgrades.500" || queued.Payload["ahead"] != maxTickets-1 {
		t.Errorf("%v", queued.Payload)
	}
}

func TestE35LostAnswerKeepsThePlace(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "GOVERNORS"})
	w := newWatcher(t, l, "governor", fmt.Sprintf(governor1s, 1)).(*governor)
	ticket := newTicket(w, newLook(nil), "upgrades")
	if err := ticket.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	place, key := ticket.lease.first, ticket.lease.key
	ticket.lease.grip, ticket.lease.key = grip{}, "" // as if nothing had been heard
	if err := ticket.enter(t.Context()); err != nil || ticket.lease.first != place || ticket.lease.key != key {
		t.Errorf("%v: %s has the place %d, not %s %d", err, ticket.lease.key, ticket.lease.first, key, place)
	}
}
