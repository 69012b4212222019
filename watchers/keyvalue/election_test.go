package keyvalue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	election1s   = "name: adapter\nttl: 1s"
	candidateEnv = "STATECRAFT_TEST_CANDIDATE"
)

// candidate stands for the office under a name of its own.
func candidate(t testing.TB, c Connections, id string) *hearing {
	t.Helper()
	return stands(t, c, "election", election1s, id)
}

// patientCandidate has a lease that is far longer than anything else takes: its office changes hands when it is laid down, not when it ends.
func patientCandidate(t testing.TB, c Connections, id string) *hearing {
	t.Helper()
	return stands(t, c, "election", lasting(election1s), id)
}

func stands(t testing.TB, c Connections, kind, properties, id string) *hearing {
	t.Helper()
	look := newLook(nil)
	look.Identity = id
	return listen(t, newWatcher(t, c, kind, properties), look)
}

// longLease is a lease that nothing waits for.
const longLease = time.Minute

func lasting(properties string) string {
	return strings.Replace(properties, ": 1s", ": "+longLease.String(), 1)
}

func term(r told) int { return r.Payload["term"].(int) }

func TestE35OneIsElectedAndOthersFollow(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	first := patientCandidate(t, l, "h1")
	elected := first.next(machine.OutcomeSuccess, 1)
	second := patientCandidate(t, l, "h2")
	followed := second.next(outcomeFollowed, 1)
	if followed.Payload["leader"] != "h1" || term(followed) != term(elected) {
		t.Errorf("h2 follows %v, elected was h1 for term %d", followed.Payload, term(elected))
	}
	stop := elapsed()
	first.stop()
	next := second.next(machine.OutcomeSuccess, 1)
	if took := next.at - stop; took > longLease/2 {
		t.Errorf("a clean stop hands over after %s", took)
	}
	if term(next) <= term(elected) {
		t.Errorf("term %d came after term %d", term(next), term(elected))
	}
	if got := first.outcomes(); !slices.Equal(got, []string{machine.OutcomeSuccess}) {
		t.Errorf("who stands down is told %v", got)
	}
}

// TestE35PausedLeaderIsFenced holds what the leader sends, as a stopped process does, until another leads; then lets it all go.
func TestE35PausedLeaderIsFenced(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	paused, g := gated(t, s.ClientURL())
	first := candidate(t, paused, "h1")
	old := first.next(machine.OutcomeSuccess, 1)
	second := candidate(t, l, "h2")
	second.next(outcomeFollowed, 1)
	g.hold(writing)
	next := second.next(machine.OutcomeSuccess, 1)
	deposed := first.next(machine.OutcomeFail, 1)
	if deposed.at >= next.at {
		t.Errorf("the old leader was told %s after the new one led", deposed.at-next.at)
	}
	g.open(writing)
	first.next(outcomeFollowed, 1)
	if term(next) <= term(old) {
		t.Errorf("term %d came after term %d", term(next), term(old))
	}
	e, err := kv.Get(t.Context(), "adapter")
	if err != nil {
		t.Fatal(err)
	}
	if v, first, _ := readLease(entry{value: e.Value(), revision: e.Revision()}, 0); v.Owner != "h2" || int(first) != term(next) {
		t.Errorf("after the pause the office is %s's of term %d, not h2's of term %d", v.Owner, first, term(next))
	}
	if got := second.outcomes(); slices.Contains(got, machine.OutcomeFail) {
		t.Errorf("the new leader was disturbed: %v", got)
	}
}

// TestE35UnansweredRenewalCountsAsLost lets renewals through and holds back their answers: to others the leader lives, to itself it
// does not.
func TestE35UnansweredRenewalCountsAsLost(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	deaf, g := gated(t, s.ClientURL())
	first := candidate(t, deaf, "h1")
	first.next(machine.OutcomeSuccess, 1)
	held := elapsed()
	g.hold(reading)
	before, err := kv.Get(t.Context(), "adapter")
	if err != nil {
		t.Fatal(err)
	}
	await(t, "renewal that is stored", func() bool {
		e, err := kv.Get(t.Context(), "adapter")
		return err == nil && e.Revision() > before.Revision()
	})
	deposed := first.next(machine.OutcomeFail, 1)
	if took := deposed.at - held; took > time.Second {
		t.Errorf("a leader that hears nothing leads on for %s, longer than its lease", took)
	}
	if !strings.Contains(deposed.Message, "no renewal was acknowledged") {
		t.Errorf("it is told %q", deposed.Message)
	}
}

func TestE35LostAnswerDoesNotDeposeWhoHearsTheNext(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	b := &bucket{nc: l.nc, name: "ELECTIONS"}
	held := newLease(l, newLook(nil), "fleet", "ELECTIONS", "adapter", 5*time.Second)
	if err := held.acquire(t.Context(), patience, 0, 0); err != nil {
		t.Fatal(err)
	}
	acknowledged := held.renewed
	if _, err := b.update(t.Context(), "adapter", held.body(), held.revision); err != nil { // the renewal whose answer is lost
		t.Fatal(err)
	}
	g, err := held.renew(t.Context(), time.Second)
	if err == nil || g.renewed != acknowledged {
		t.Errorf("a renewal that was not acknowledged counts: %v", err)
	}
	held.grip = g
	if g, err = held.renew(t.Context(), time.Second); err != nil || g.renewed == acknowledged {
		t.Errorf("the next one does not: %v", err)
	}
}

// TestE35WhatAnotherHasTakenIsLost: a renewal never writes over another's hold, however much of one's own time is left.
func TestE35WhatAnotherHasTakenIsLost(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	kv := keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	hold := func() *lease { return newLease(l, newLook(nil), "fleet", "ELECTIONS", "adapter", time.Hour) }
	first, second := hold(), hold()
	if err := first.acquire(t.Context(), patience, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := second.acquire(t.Context(), patience, 0, 0); !errors.Is(err, errTaken) {
		t.Errorf("what is held is acquired: %v", err)
	}
	if err := second.acquire(t.Context(), patience, first.revision, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := first.renew(t.Context(), patience); !errors.Is(err, errLost) {
		t.Errorf("the old holder is told %v", err)
	}
	if err := first.release(t.Context(), func(ctx context.Context, l *lease, b *bucket) error { return l.remove(ctx, b) }); err != nil {
		t.Fatal(err)
	}
	e := must[jetstream.KeyValueEntry](t)(kv.Get(t.Context(), "adapter"))
	if e.Revision() != second.revision {
		t.Errorf("the key has revision %d, the new holder wrote %d", e.Revision(), second.revision)
	}
}

func TestE35TwoNeverLeadInOneTerm(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	const candidates, rounds = 5, 12
	var mu sync.Mutex
	terms, leading := map[int]string{}, map[string]int{}
	lead := func(id string) func(watchers.Report) {
		return func(r watchers.Report) {
			mu.Lock()
			defer mu.Unlock()
			switch n, _ := r.Payload["term"].(int); r.Outcome {
			case machine.OutcomeSuccess:
				if other, twice := terms[n]; twice {
					t.Errorf("%s and %s lead in term %d", other, id, n)
				}
				if len(leading) > 0 {
					t.Errorf("%s leads beside %v", id, leading)
				}
				terms[n], leading[id] = id, n
			case machine.OutcomeFail:
				delete(leading, id)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	stops := map[string]context.CancelFunc{}
	start := func(id string) {
		own, end := context.WithCancel(ctx)
		stops[id] = end
		look := newLook(nil)
		look.Identity = id
		w := newWatcher(t, l, "election", election1s).(watchers.Listener)
		all.Go(func() { w.Listen(own, look, lead(id)) })
	}
	for i := range candidates {
		start(fmt.Sprintf("h%d", i))
	}
	for round := range rounds {
		var leader string
		await(t, "leader", func() bool {
			mu.Lock()
			defer mu.Unlock()
			for id := range leading {
				leader = id
			}
			return len(leading) == 1
		})
		mu.Lock()
		delete(leading, leader) // it stands down: nothing is reported of that
		mu.Unlock()
		stops[leader]()
		start(fmt.Sprintf("h%d", candidates+round))
	}
	cancel()
	all.Wait()
	if len(terms) < rounds {
		t.Errorf("%d terms in %d rounds", len(terms), rounds)
	}
}

func TestE35DeadLeaderIsFollowedAfterItsLease(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	dead := newLease(l, newLook(nil), "fleet", "ELECTIONS", "adapter", 2*time.Second)
	if err := dead.acquire(t.Context(), patience, 0, 0); err != nil {
		t.Fatal(err)
	}
	began := elapsed()
	next := candidate(t, l, "h2").next(machine.OutcomeSuccess, 1)
	if took := next.at - began; took < 2*time.Second {
		t.Errorf("a leader of a lease of 2s that is dead is followed after %s", took)
	}
}

// candidateProcess stands until it is killed, and prints its outcomes. It runs in a process of its own.
func candidateProcess(url string) {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	w := &election{spec: &electionSpec{Connection: "fleet", Bucket: "ELECTIONS", Name: watchers.PlainText("adapter"), TTL: strict.Duration(time.Second)},
		connections: line{nc}, clock: elapsed}
	look := newLook(nil)
	look.Identity, look.Log = "child", slog.New(slog.DiscardHandler)
	w.Listen(context.Background(), look, func(r watchers.Report) { fmt.Println(r.Outcome) })
}

func TestE35StoppedProcessIsFenced(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	keyValue(t, l, jetstream.KeyValueConfig{Bucket: "ELECTIONS"})
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), candidateEnv+"="+s.ClientURL())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	}()
	said := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !said.Scan() || said.Text() != want {
			t.Fatalf("the child says %q, not %q", said.Text(), want)
		}
	}
	expect(machine.OutcomeSuccess)
	second := candidate(t, l, "h2")
	second.next(outcomeFollowed, 1)
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	second.next(machine.OutcomeSuccess, 1)
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	expect(machine.OutcomeFail)
	expect(outcomeFollowed)
	if got := second.outcomes(); slices.Contains(got, machine.OutcomeFail) {
		t.Errorf("the new leader was disturbed: %v", got)
	}
}

func TestElectionWithoutBucketFails(t *testing.T) {
	s := broker(t)
	l := dial(t, s.ClientURL())
	h := candidate(t, l, "h1")
	select {
	case rep := <-h.done:
		if rep.Outcome != machine.OutcomeFail || !strings.Contains(rep.Message, "a streams watcher keeps buckets") {
			t.Errorf("%+v", rep)
		}
		h.done <- rep
	case <-time.After(patience):
		t.Fatal("the listener does not say that there is no bucket")
	}
}
