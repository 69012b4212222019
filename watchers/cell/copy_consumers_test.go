package cell

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// fetched are the next messages of a consumer, which acknowledges each.
func fetched(t *testing.T, c jetstream.Consumer, n int) (got []string) {
	t.Helper()
	for len(got) < n {
		batch := must[jetstream.MessageBatch](t)(c.Fetch(n-len(got), jetstream.FetchMaxWait(30*time.Second)))
		before := len(got)
		for m := range batch.Messages() {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Data()))
		}
		if len(got) == before {
			t.Fatalf("%d of %d messages: %v", len(got), n, batch.Error())
		}
	}
	return got
}

// TestH67ConsumersGoOnWhereTheyWere: who follows events by a durable consumer hears none of them twice or never because the cell has grown.
func TestH67ConsumersGoOnWhereTheyWere(t *testing.T) {
	ctx, from, to := t.Context(), aloneStreams(t), streamsAt(t)
	events := must[jetstream.Stream](t)(from.Stream(ctx, "EVENTS"))
	half := must[jetstream.Consumer](t)(events.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "half", AckPolicy: jetstream.AckExplicitPolicy}))
	fetched(t, half, 100)
	all := must[jetstream.Consumer](t)(events.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "all", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "events.n"}))
	fetched(t, all, manyEvents)
	must[jetstream.Consumer](t)(events.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "new", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
	}))
	must[jetstream.Consumer](t)(events.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "idle", AckPolicy: jetstream.AckExplicitPolicy}))
	must[jetstream.Consumer](t)(events.CreateConsumer(ctx, jetstream.ConsumerConfig{Name: "session", InactiveThreshold: time.Hour}))
	must[jetstream.PushConsumer](t)(events.CreatePushConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "push", DeliverSubject: "pushed", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: manyEvents, AckPolicy: jetstream.AckNonePolicy,
	}))
	// What others store meanwhile lies between the copies.
	must[jetstream.Stream](t)(to.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}}))
	must[*jetstream.PubAck](t)(to.Publish(ctx, "events.theirs", []byte("theirs")))
	c := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler)}
	c.Tell = func(p Progress) {
		if p.Copied%97 == 5 {
			must[*jetstream.PubAck](t)(to.Publish(ctx, "events.theirs", nil))
		}
	}
	for range 2 { // as after an interruption
		if err := c.Copy(ctx, []string{"EVENTS"}); err != nil {
			t.Fatal(err)
		}
	}
	if c.progress.Consumers != 5 || len(c.Left()) > 0 {
		t.Errorf("%d consumers are copied, and not: %q", c.progress.Consumers, c.Left())
	}
	must[*jetstream.PubAck](t)(to.Publish(ctx, "events.n", []byte("fresh")))
	at := must[jetstream.Stream](t)(to.Stream(ctx, "EVENTS"))
	first := func(name string) string { return fetched(t, must[jetstream.Consumer](t)(at.Consumer(ctx, name)), 1)[0] }
	got := map[string]string{"half": first("half"), "all": first("all"), "new": first("new"), "idle": first("idle")}
	if diff := cmp.Diff(map[string]string{"half": "100", "all": "fresh", "new": "fresh", "idle": "theirs"}, got); diff != "" {
		t.Errorf("what each is told first (-want +got):\n%s", diff)
	}
	if _, err := at.Consumer(ctx, "session"); err == nil {
		t.Error("the consumer of a session is copied, whose session is gone")
	}
	sub := must[*nats.Subscription](t)(to.Conn().SubscribeSync("pushed"))
	if m := must[*nats.Msg](t)(sub.NextMsg(30 * time.Second)); string(m.Data) != fmt.Sprint(manyEvents-1) {
		t.Errorf("pushed first: %s", m.Data)
	}
}

// TestH67ConsumersOfStreamsThatDropWhatIsAcknowledged have all that is left before them.
func TestH67ConsumersOfStreamsThatDropWhatIsAcknowledged(t *testing.T) {
	for _, policy := range []jetstream.RetentionPolicy{jetstream.WorkQueuePolicy, jetstream.InterestPolicy} {
		t.Run(policy.String(), func(t *testing.T) {
			ctx, from, to := t.Context(), streamsAt(t), streamsAt(t)
			jobs := must[jetstream.Stream](t)(from.CreateStream(ctx, jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"jobs.>"}, Retention: policy}))
			worker := must[jetstream.Consumer](t)(jobs.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy}))
			for i := range 10 {
				must[*jetstream.PubAck](t)(from.Publish(ctx, "jobs.n", fmt.Append(nil, i)))
			}
			fetched(t, worker, 4)
			c := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler)}
			if err := c.Copy(ctx, []string{"JOBS"}); err != nil {
				t.Fatal(err)
			}
			got := fetched(t, must[jetstream.Consumer](t)(to.Consumer(ctx, "JOBS", "worker")), 6)
			if diff := cmp.Diff("4 5 6 7 8 9", strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestH67AConsumerThatCannotBeCopiedIsNamed: it holds nothing else up.
func TestH67AConsumerThatCannotBeCopiedIsNamed(t *testing.T) {
	ctx, from, to := t.Context(), aloneStreams(t), streamsAt(t)
	events := must[jetstream.Stream](t)(from.Stream(ctx, "EVENTS"))
	must[jetstream.Consumer](t)(events.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "one"}))
	must[jetstream.Stream](t)(to.CreateStream(ctx, jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, MaxConsumers: 1}))
	must[jetstream.Consumer](t)(to.CreateConsumer(ctx, "EVENTS", jetstream.ConsumerConfig{Durable: "theirs"}))
	var told Progress
	c := &Copier{From: from, To: to, Log: slog.New(slog.DiscardHandler), Tell: func(p Progress) { told = p }}
	if err := c.Copy(ctx, []string{"EVENTS", "KV_NODES"}); err != nil {
		t.Fatal(err)
	}
	if left := strings.Join(c.Left(), "; "); !strings.HasPrefix(left, "consumer one of EVENTS: ") || told.Done != 2 || told.Consumers != 0 {
		t.Errorf("%+v, and not copied: %s", told, left)
	}
	copiedInOrder(t, to, manyEvents)
}

// TestH67WhatIsNotCopiedHasABound: it becomes part of an event.
func TestH67WhatIsNotCopiedHasABound(t *testing.T) {
	c := &Copier{Log: slog.New(slog.DiscardHandler)}
	for i := range 3 * mostLeft {
		c.leave("%d", i)
	}
	if n := len(c.Left()); n != mostLeft || !strings.Contains(c.Left()[n-1], "more") {
		t.Errorf("%q", c.Left())
	}
}
