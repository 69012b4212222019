package cell

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestH67CopyingGoesOnAfterTheClusterDidNotAnswer: what is sent while a stream is nowhere is heard, and acknowledged by nobody.
func TestH67CopyingGoesOnAfterTheClusterDidNotAnswer(t *testing.T) {
	ctx, from, to := t.Context(), aloneStreams(t), streamsAt(t)
	for i := range 10 * copyPending {
		must[*jetstream.PubAck](t)(from.Publish(ctx, "events.n", fmt.Append(nil, i)))
	}
	stream := jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Duplicates: time.Second}
	must[jetstream.Stream](t)(to.CreateStream(ctx, stream))
	heard := make(chan *nats.Msg, 64<<10)
	must[*nats.Subscription](t)(to.Conn().ChanSubscribe("events.>", heard))
	m := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler)}
	ended := make(chan error, 1)
	go func() { ended <- m.Copy(ctx, []string{"EVENTS"}) }()
	for range copyPending + 10 {
		<-heard
	}
	away := stream
	away.Subjects = []string{"elsewhere.>"}
	must[jetstream.Stream](t)(to.UpdateStream(ctx, away))
	for quiet := false; !quiet; {
		select {
		case <-heard:
		case <-time.After(time.Second): // nothing more is sent
			quiet = true
		}
	}
	must[jetstream.Stream](t)(to.UpdateStream(ctx, stream))
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(90 * time.Second):
		t.Fatal("the copying stands still")
	}
	copiedInOrder(t, to, manyEvents+10*copyPending)
}

// TestH67OthersStoreWhileAHostCopies: what they store takes the place of none that is copied.
func TestH67OthersStoreWhileAHostCopies(t *testing.T) {
	ctx, from, to := t.Context(), aloneStreams(t), streamsAt(t)
	must[jetstream.Stream](t)(to.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}}))
	c := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler)}
	c.Tell = func(p Progress) { // in the middle of a batch and at its end
		if p.Copied%97 == 5 {
			must[*jetstream.PubAck](t)(to.Publish(ctx, "events.theirs", nil))
		}
	}
	if err := c.Copy(ctx, []string{"EVENTS"}); err != nil {
		t.Fatal(err)
	}
	copiedInOrder(t, to, manyEvents)
}

// copiedInOrder holds that each event is there once, in the order in which they were. Of those beyond manyEvents it counts how many there are.
func copiedInOrder(t *testing.T, to jetstream.JetStream, want int) {
	t.Helper()
	s := must[jetstream.Stream](t)(to.Stream(t.Context(), "EVENTS"))
	info := s.CachedInfo().State
	found := 0
	for seq := info.FirstSeq; seq <= info.LastSeq; seq++ {
		msg := must[*jetstream.RawStreamMsg](t)(s.GetMsg(t.Context(), seq))
		if msg.Subject != "events.n" {
			continue
		}
		if got := string(msg.Data); got != fmt.Sprint(found) && found < manyEvents {
			t.Fatalf("message %d is %s, want %d", seq, got, found)
		}
		found++
	}
	if found != want {
		t.Errorf("%d messages, want %d", found, want)
	}
}

// TestH67WhatWasCopiedLongAgoIsNotCopiedAgain is a host that was away for longer than streams know messages again.
func TestH67WhatWasCopiedLongAgoIsNotCopiedAgain(t *testing.T) {
	ctx, from, to := t.Context(), aloneStreams(t), streamsAt(t)
	const known = 100 * time.Millisecond
	must[jetstream.Stream](t)(to.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Duplicates: known}))
	cfg := must[jetstream.Stream](t)(from.Stream(ctx, "KV_NODES")).CachedInfo().Config
	cfg.Duplicates = known
	must[jetstream.Stream](t)(from.UpdateStream(ctx, cfg))
	ours := must[jetstream.KeyValue](t)(from.KeyValue(ctx, "NODES"))
	m := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler)}
	if err := m.Copy(ctx, []string{"EVENTS", "KV_NODES"}); err != nil {
		t.Fatal(err)
	}
	must[uint64](t)(ours.PutString(ctx, "n1", "third"))
	time.Sleep(3 * known) // the window is by the servers' clock
	if err := m.Copy(ctx, []string{"EVENTS", "KV_NODES"}); err != nil {
		t.Fatal(err)
	}
	copiedInOrder(t, to, manyEvents)
	copied := must[jetstream.KeyValue](t)(to.KeyValue(ctx, "NODES"))
	var got []string
	for _, e := range must[[]jetstream.KeyValueEntry](t)(copied.History(ctx, "n1")) {
		got = append(got, string(e.Value()))
	}
	if diff := cmp.Diff([]string{"first", "second", "third"}, got); diff != "" {
		t.Errorf("n1 (-want +got):\n%s", diff)
	}
}
