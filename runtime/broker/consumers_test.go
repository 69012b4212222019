package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/consumers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// serveConsumers runs what overlay/consumers runs, as a host of this broker.
func (o *overlay) serveConsumers(t testing.TB, b *Broker) {
	t.Helper()
	l := o.service(t, RightFleetService)
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{InProcess: b.Provider(), Key: l.key, Token: l.token, InboxPrefix: l.inbox()}, nil
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(pool.Close)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	if err := pool.Keep(ctx, "host", "fleet"); err != nil {
		t.Fatal(err)
	}
	src, err := manifests.Files.ReadFile("overlay/consumers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest, problems := strict.Parse("consumers.yaml", src)
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	properties := manifest.Get("watchers").Items[0].Get("properties")
	prepared, problems := consumers.Types(consumers.Services{Pool: pool})[0].Prepare(&machine.WatcherSpec{Strict: true, Properties: properties})
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	serving, ended := make(chan watchers.Report, 100), make(chan struct{})
	go func() {
		defer close(ended)
		look := &watchers.Look{Machine: "consumers", Watcher: "consumers", Identity: "host", Log: slog.New(slog.DiscardHandler)}
		prepared.New().(watchers.Listener).Listen(ctx, look, func(r watchers.Report) { serving <- r })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	for r := range serving {
		if r.Outcome == machine.OutcomeSuccess {
			return
		}
	}
}

// consumable makes the streams and stores events.
func consumable(t testing.TB, js jetstream.JetStream, replicas, events int) {
	t.Helper()
	for name, subject := range map[string]string{"EVENTS": "choria.lifecycle.event.>", "DISCOVERY": "discovery.>"} {
		await(t, "the stream "+name, func() bool {
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, Replicas: replicas})
			return err == nil
		})
	}
	for i := range events {
		happens(t, js, i)
	}
}

func happens(t testing.TB, js jetstream.JetStream, i int) {
	t.Helper()
	await(t, "an event is stored", func() bool {
		_, err := js.Publish(brief(t), "choria.lifecycle.event.alive.server", fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint(i)))
		return err == nil
	})
}

func (l login) apiPrefix() string { return "client." + l.key.Public().NKey() + ".out.consumers" }

// consumes is JetStream as a client with the right events_read has it.
func (o *overlay) consumes(t testing.TB, b *Broker, l login) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn := o.connect(t, b.ClientURL(), l)
	js, err := jetstream.NewWithAPIPrefix(conn, l.apiPrefix())
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

func (o *overlay) host(t testing.TB, b *Broker) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	conn := o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

// reads takes n events off a durable consumer and acknowledges each, and waits for the acknowledgement's own.
func reads(t testing.TB, js jetstream.JetStream, name string, first, n int) {
	t.Helper()
	c, err := js.CreateOrUpdateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i < first+n; i++ {
		m, err := c.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data()) != fmt.Sprint(i) || m.Subject() != "choria.lifecycle.event.alive.server" {
			t.Errorf("it reads %s of %s, want %d", m.Data(), m.Subject(), i)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEventsReadSuffices reads both streams durably, in two sessions; what others have is not open.
func TestEventsReadSuffices(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	_, hostJS := o.host(t, b)
	consumable(t, hostJS, 1, 6)
	o.serveConsumers(t, b)
	alice, bob := o.client(t, "alice", "events_read"), o.client(t, "bob", "events_read")
	conn, js := o.consumes(t, b, alice)
	reads(t, js, "bridge-1", 0, 3)
	conn.Close()
	_, js = o.consumes(t, b, alice)
	reads(t, js, "bridge-1", 3, 3)
	if _, err := js.Stream(t.Context(), "DISCOVERY"); err != nil {
		t.Error(err)
	}
	_, other := o.consumes(t, b, bob)
	if _, err := other.Consumer(t.Context(), "EVENTS", "bridge-1"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("another client sees it: %v", err)
	}
	if err := other.DeleteConsumer(t.Context(), "EVENTS", "bridge-1"); err == nil {
		t.Error("another client deletes it")
	}
	reads(t, other, "bridge-1", 0, 1)
	viewer := o.client(t, "viewer", "fleet_view")
	if js, err := jetstream.NewWithAPIPrefix(o.connect(t, b.ClientURL(), viewer), viewer.apiPrefix()); err != nil {
		t.Fatal(err)
	} else if _, err := js.Stream(brief(t), "EVENTS"); err == nil {
		t.Error("a client without the right reads")
	}
}

// TestAConsumerOfInventoriesIsNotCut reads more than may wait for a session, by batches as large as clients ask for by themselves.
func TestAConsumerOfInventoriesIsNotCut(t *testing.T) {
	const inventories, size = 600, 40 << 10
	o := newOverlay(t)
	b := o.broker(t)
	_, hostJS := o.host(t, b)
	consumable(t, hostJS, 1, 0)
	document := bytes.Repeat([]byte("x"), size)
	for i := range inventories {
		if _, err := hostJS.PublishAsync(fmt.Sprintf("discovery.n%d", i), document); err != nil {
			t.Fatal(err)
		}
	}
	<-hostJS.PublishAsyncComplete()
	o.serveConsumers(t, b)
	conn, js := o.consumes(t, b, o.client(t, "alice", "events_read"))
	c, err := js.CreateOrUpdateConsumer(t.Context(), "DISCOVERY", jetstream.ConsumerConfig{Durable: "all", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int, inventories)
	consuming, err := c.Consume(func(m jetstream.Msg) {
		_ = m.Ack() // one that comes twice is a failure, too
		got <- len(m.Data())
	})
	if err != nil {
		t.Fatal(err)
	}
	defer consuming.Stop()
	for i := range inventories {
		select {
		case n := <-got:
			if n != size {
				t.Fatalf("a document has %d bytes", n)
			}
		case <-time.After(patience):
			t.Fatalf("%d of %d were read; the session was cut %d times", i, inventories, conn.Stats().Reconnects)
		}
	}
	if n := conn.Stats().Reconnects; n != 0 {
		t.Errorf("the session was cut %d times", n)
	}
}

// astray is where attackers want answers to go.
func astray(bob login) []string {
	return []string{
		"$JS.API.STREAM.DELETE.KV_NODES", "$JS.API.STREAM.PURGE.EVENTS", "$JS.API.CONSUMER.DELETE.EVENTS." + bob.key.Public().NKey() + "-c", "$KV.NODES.n1", "node.n1.in.operate.stop",
		bob.inbox() + ".x", "choria.lifecycle.event.alive.server", "_INBOX.host.x", bob.apiPrefix() + ".CONSUMER.DELETE.EVENTS.c", "client.x.out.revoke",
	}
}

// attackedAPI are the subjects of JetStream's API, without its prefix.
func attackedAPI() []string {
	return strings.Fields(`INFO ACCOUNT.PURGE.FLEET STREAM.CREATE.X STREAM.UPDATE.EVENTS STREAM.NAMES STREAM.LIST STREAM.INFO.EVENTS STREAM.INFO.KV_NODES
		STREAM.DELETE.KV_NODES STREAM.PURGE.EVENTS STREAM.MSG.GET.EVENTS STREAM.MSG.DELETE.EVENTS STREAM.SNAPSHOT.EVENTS STREAM.RESTORE.EVENTS STREAM.PEER.REMOVE.EVENTS
		STREAM.LEADER.STEPDOWN.EVENTS DIRECT.GET.EVENTS DIRECT.GET.EVENTS.none DIRECT.GET.KV_NODES.x CONSUMER.CREATE.EVENTS CONSUMER.CREATE.EVENTS.c
		CONSUMER.CREATE.EVENTS.c.choria.> CONSUMER.CREATE.KV_NODES.c CONSUMER.DURABLE.CREATE.EVENTS.c CONSUMER.NAMES.EVENTS CONSUMER.LIST.EVENTS CONSUMER.INFO.EVENTS.c
		CONSUMER.DELETE.EVENTS.c CONSUMER.PAUSE.EVENTS.c CONSUMER.RESET.EVENTS.c CONSUMER.UNPIN.EVENTS.c CONSUMER.LEADER.STEPDOWN.EVENTS.c CONSUMER.MSG.NEXT.EVENTS.c
		CONSUMER.MSG.NEXT.KV_NODES.c META.LEADER.STEPDOWN SERVER.REMOVE SERVER.EVACUATE`)
}

var attackBodies = []string{
	"", `{"no_wait":true}`, `{"batch":1,"expires":100000000}`, `{"stream_name":"EVENTS","config":{"durable_name":"c","ack_policy":"explicit"}}`,
	`{"stream_name":"EVENTS","config":{"name":"c","deliver_subject":"node.n1.in.operate.stop"}}`,
}

// TestH68EventsReadLedAstrayReachesNothing has a client with the right events_read ask everything of JetStream's API, under its own prefix and under JetStream's, and
// acknowledge in every way, with answers that are to go elsewhere. Where all is permitted they arrive; here nothing does, and nothing has changed.
func TestH68EventsReadLedAstrayReachesNothing(t *testing.T) {
	o := newOverlay(t)
	for name, tt := range map[string]struct {
		b     *Broker
		heard bool
	}{"where all is permitted": {o.permissive(t), true}, "as decided": {o.broker(t), false}} {
		t.Run(name, func(t *testing.T) {
			host, hostJS := o.host(t, tt.b)
			consumable(t, hostJS, 1, 20)
			kv, err := hostJS.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "NODES"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := kv.Put(t.Context(), "n1", []byte("here")); err != nil {
				t.Fatal(err)
			}
			o.serveConsumers(t, tt.b)
			alice, bob := o.client(t, "alice", "events_read"), o.client(t, "bob", "events_read")
			_, bobJS := o.consumes(t, tt.b, bob)
			reads(t, bobJS, "c", 0, 2)
			conn, js := o.consumes(t, tt.b, alice)
			reads(t, js, "c", 0, 1)
			heard := 0
			for _, subject := range astray(bob) {
				led := leads(t, conn, host, alice, bob, subject)
				heard += led
				if led > 0 && !tt.heard {
					t.Errorf("%d messages reach %s", led, subject)
				}
			}
			if (heard > 0) != tt.heard {
				t.Errorf("%d messages arrive where they were led", heard)
			}
			if tt.heard {
				return
			}
			if v, err := kv.Get(t.Context(), "n1"); err != nil || string(v.Value()) != "here" {
				t.Errorf("the register has changed: %v", err)
			}
			s, err := hostJS.Stream(t.Context(), "EVENTS")
			if err != nil || s.CachedInfo().State.Msgs != 20 {
				t.Errorf("the events have changed: %v", err)
			}
			reads(t, bobJS, "c", 2, 1)
		})
	}
}

// leads asks for everything with an answer to a subject, and counts what comes there beside the asking itself.
func leads(t *testing.T, conn, host *nats.Conn, alice, bob login, to string) int {
	t.Helper()
	spy, err := host.SubscribeSync(to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = spy.Unsubscribe() }()
	flush(t, host)
	for _, prefix := range []string{alice.apiPrefix() + ".", bob.apiPrefix() + ".", "$JS.API."} {
		for _, api := range attackedAPI() {
			if strings.HasPrefix(api, "STREAM.DELETE") && prefix == "$JS.API." || prefix+api == to {
				continue // where all is permitted it does what it says, and nothing can be compared
			}
			for _, body := range attackBodies {
				if err := conn.PublishRequest(prefix+api, to, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	mapped, _ := consumers.AckMapping("c1", AccountFleet, "EVENTS")
	mapped = strings.TrimSuffix(mapped, "*.*.*.*.*.*")
	for _, key := range []string{alice.key.Public().NKey(), bob.key.Public().NKey()} {
		for _, body := range []string{"", "+ACK", "-NAK", "+WPI", "+TERM", "+NXT", `+NXT {"batch":5}`} {
			for _, subject := range []string{"$JS.ACK.EVENTS." + key + "-c.1.3.3.0.0", "consumers.acks.EVENTS.1.3.3.0.0." + key + ".c", mapped + key + "-c.1.3.3.0.0"} {
				if err := conn.PublishRequest(subject, to, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flush(t, conn)
	if _, err := conn.Request(alice.apiPrefix()+".INFO", nil, patience); err != nil { // behind all of it
		t.Fatal(err)
	}
	flush(t, host)
	n := 0
	for {
		if _, err := spy.NextMsg(quietly / 5); err != nil {
			return n
		}
		n++
	}
}

// TestH68AThousandConsumers makes as many as a client is let, and leaves room for another.
func TestH68AThousandConsumers(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	_, hostJS := o.host(t, b)
	consumable(t, hostJS, 1, 1)
	o.serveConsumers(t, b)
	_, js := o.consumes(t, b, o.client(t, "greedy", "events_read"))
	made, refused := 0, 0
	for i := range 1000 {
		_, err := js.CreateConsumer(brief(t), "EVENTS", jetstream.ConsumerConfig{Durable: fmt.Sprint("c", i)})
		var api *jetstream.APIError
		switch {
		case err == nil:
			made++
		case errors.As(err, &api):
			refused++
		}
	}
	if made != 16 || refused == 0 {
		t.Errorf("%d consumers are made, %d refused", made, refused)
	}
	_, other := o.consumes(t, b, o.client(t, "modest", "events_read"))
	reads(t, other, "c", 0, 1)
}

// TestAStalledConsumerHoldsUpNobody pulls all that it can and acknowledges nothing: it gets no more than may be unacknowledged, events are stored, and another reads.
func TestAStalledConsumerHoldsUpNobody(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	_, hostJS := o.host(t, b)
	consumable(t, hostJS, 1, 30)
	o.serveConsumers(t, b)
	_, js := o.consumes(t, b, o.client(t, "stalled", "events_read"))
	c, err := js.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.FetchNoWait(100)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for range batch.Messages() {
		got++
	}
	if got != 10 {
		t.Errorf("it is given %d without acknowledging any", got)
	}
	happens(t, hostJS, 30)
	_, other := o.consumes(t, b, o.client(t, "other", "events_read"))
	reads(t, other, "c", 0, 31)
}

// TestARevokedConsumerIsEnded cuts it off while it waits for events.
func TestARevokedConsumerIsEnded(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	_, hostJS := o.host(t, b)
	consumable(t, hostJS, 1, 1)
	o.serveConsumers(t, b)
	l := o.client(t, "alice", "events_read")
	conn, js := o.consumes(t, b, l)
	reads(t, js, "c", 0, 1)
	c, err := js.Consumer(t.Context(), "EVENTS", "c")
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := c.Consume(func(jetstream.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Stop()
	b.Revoke(Revocation{Kind: RevokedKey, Value: l.key.Public().String(), By: "root", At: time.Now()})
	await(t, "its session ends", conn.IsClosed)
	if _, err := o.dial(t, b.ClientURL(), l); err == nil {
		t.Error("it comes in again")
	}
}

// TestAHostDiesAndConsumersGoOn closes the broker that a client is connected to, while events happen. The client goes on at another one, and reads every event once
// in order.
func TestAHostDiesAndConsumersGoOn(t *testing.T) {
	o := newOverlay(t)
	all := o.cluster(t)
	_, hostJS := o.host(t, all[2])
	consumable(t, hostJS, 3, 10)
	for _, b := range all {
		o.serveConsumers(t, b)
	}
	l := o.client(t, "alice", "events_read")
	conn := o.connect(t, all[0].ClientURL()+","+all[1].ClientURL(), l, nats.DontRandomize(), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		func(o *nats.Options) error { o.AllowReconnect = true; return nil })
	js, err := jetstream.NewWithAPIPrefix(conn, l.apiPrefix())
	if err != nil {
		t.Fatal(err)
	}
	reads(t, js, "c", 0, 10)
	go func() { _ = all[0].Close() }()
	for i := 10; i < 40; i++ {
		happens(t, hostJS, i)
	}
	seen, last := map[string]bool{}, time.Now().Add(2*patience)
	for len(seen) < 30 && time.Now().Before(last) {
		c, err := js.Consumer(brief(t), "EVENTS", "c")
		if err != nil {
			continue
		}
		m, err := c.Next(jetstream.FetchMaxWait(2 * time.Second))
		if err != nil {
			continue
		}
		if m.DoubleAck(brief(t)) == nil {
			seen[string(m.Data())] = true
		}
	}
	for i := 10; i < 40; i++ {
		if !seen[fmt.Sprint(i)] {
			t.Errorf("event %d is lost", i)
		}
	}
}
