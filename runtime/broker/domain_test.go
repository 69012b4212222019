package broker

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// former has a broker of the release before: without a domain, feature flags and UPLINK.
func former(c *Config) {
	c.options = func(o *server.Options) {
		o.JetStreamDomain, o.FeatureFlags, o.Accounts, o.SystemAccount = "", nil, nil, ""
		o.JetStreamMaxStore = c.Limits.JetStream.Store
		js := c.Limits.JetStream
		if err := o.ProcessConfigString(fmt.Sprintf(`
			system_account: SYSTEM
			accounts: {
				SYSTEM: {}
				ENROLLMENT: {}
				FLEET: {jetstream: {max_memory: -1, max_file: -1, max_streams: %d, max_consumers: %d, max_ack_pending: %d}}
			}`, js.Streams, js.Consumers, js.AckPending)); err != nil {
			panic(err)
		}
	}
}

// rolled is a cell whose brokers are exchanged one after another.
type rolled struct {
	t       *testing.T
	o       *overlay
	configs []Config
	brokers []*Broker
	urls    string
}

func newRolled(t *testing.T, hosts int) *rolled {
	t.Helper()
	r := &rolled{t: t, o: newOverlay(t), brokers: make([]*Broker, hosts)}
	cluster, clients := freeAddresses(t, hosts), freeAddresses(t, hosts)
	for i := range hosts {
		r.configs = append(r.configs, r.o.config(t, func(c *Config) {
			c.Name, c.Fleet, c.Enrollment = "b"+strconv.Itoa(i), clients[i], ""
			if hosts > 1 {
				c.Cluster = &Cluster{Listen: cluster[i], Peers: cluster, Secret: strings.Repeat("s", minSecret)}
			}
		}))
	}
	r.urls = "tls://" + strings.Join(clients, ",tls://")
	t.Cleanup(func() {
		for _, b := range r.brokers {
			if b != nil {
				b.stop()
			}
		}
	})
	return r
}

// begin starts a broker of this release, or of the one before.
func (r *rolled) begin(i int, old bool) {
	r.t.Helper()
	c := r.configs[i]
	if old {
		former(&c)
	}
	b, err := Start(r.t.Context(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.brokers[i] = b
}

// exchange ends a broker and starts it, and waits until all hosts have all again.
func (r *rolled) exchange(i int, old bool) {
	r.t.Helper()
	r.brokers[i].stop()
	r.begin(i, old)
	r.whole()
}

// whole waits until every broker has all that there is.
func (r *rolled) whole() {
	r.t.Helper()
	for _, b := range r.brokers {
		await(r.t, b.cfg.Name+" has all", func() bool {
			h := b.Health()
			return h.Current && len(h.Behind)+len(h.Broken)+len(h.Leaderless) == 0 && len(h.Streams) >= 3
		})
	}
}

// connect connects as a host, and again when its broker goes.
func (r *rolled) connect() *nats.Conn {
	return r.o.connect(r.t, r.urls, r.o.service(r.t, RightFleetService), func(o *nats.Options) error {
		o.AllowReconnect = true
		return nil
	}, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
}

// jetStream is JetStream by a connection, once it is answered there: what is asked while a broker goes is lost.
func (r *rolled) jetStream(nc *nats.Conn) jetstream.JetStream {
	r.t.Helper()
	js := streamOf(r.t, nc)
	await(r.t, "JetStream answers", func() bool {
		ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
		defer cancel()
		_, err := js.AccountInfo(ctx)
		return err == nil
	})
	return js
}

// holdings are what a cell has before it gets a domain.
type holdings struct {
	object  []byte
	pending jetstream.Msg // that was delivered by the release before, and not acknowledged
}

const (
	kept  = 400
	acked = 100
)

// fill stores a stream with a durable reader in the middle of it, a bucket and an object.
func (r *rolled) fill(nc *nats.Conn) holdings {
	r.t.Helper()
	ctx, js, replicas := r.t.Context(), streamOf(r.t, nc), len(r.brokers)
	var events jetstream.Stream
	await(r.t, "the stream is made", func() (made bool) {
		var err error
		events, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "JOBS", Subjects: []string{"events.>"}, Replicas: replicas})
		return err == nil
	})
	h := holdings{object: bytes.Repeat([]byte("bundle "), 100_000)}
	for i := range kept {
		if _, err := js.Publish(ctx, "events.kept", []byte(strconv.Itoa(i))); err != nil {
			r.t.Fatal(err)
		}
	}
	reader, err := events.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour})
	if err != nil {
		r.t.Fatal(err)
	}
	batch, err := reader.Fetch(acked + 1)
	if err != nil {
		r.t.Fatal(err)
	}
	for m := range batch.Messages() {
		if h.pending = m; string(m.Data()) == strconv.Itoa(acked) {
			continue
		}
		if err := m.DoubleAck(ctx); err != nil {
			r.t.Fatal(err)
		}
	}
	nodes, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "NODES", Replicas: replicas})
	for i := 0; err == nil && i < kept; i++ {
		_, err = nodes.PutString(ctx, "n"+strconv.Itoa(i), strconv.Itoa(i))
	}
	if err == nil {
		var bundles jetstream.ObjectStore
		if bundles, err = js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "BUNDLES", Replicas: replicas}); err == nil {
			_, err = bundles.PutBytes(ctx, "one", h.object)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// check holds what there is against what was stored.
func (r *rolled) check(nc *nats.Conn, h holdings) {
	r.t.Helper()
	ctx, js := r.t.Context(), r.jetStream(nc)
	nodes, err := js.KeyValue(ctx, "NODES")
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range kept {
		if v, err := nodes.Get(ctx, "n"+strconv.Itoa(i)); err != nil || string(v.Value()) != strconv.Itoa(i) {
			r.t.Fatalf("key n%d: %v", i, err)
		}
	}
	watch, err := nodes.WatchAll(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < kept; i++ {
		if e := <-watch.Updates(); e == nil {
			r.t.Fatalf("%d keys are seen", i)
		}
	}
	_ = watch.Stop()
	bundles, err := js.ObjectStore(ctx, "BUNDLES")
	if err != nil {
		r.t.Fatal(err)
	}
	if object, err := bundles.GetBytes(ctx, "one"); err != nil || !bytes.Equal(object, h.object) {
		r.t.Errorf("the object: %d bytes, %v", len(object), err)
	}
}

// goesOn has the durable reader go on where it was, by the acknowledgement that the release before asked for.
func (r *rolled) goesOn(nc *nats.Conn, h holdings) {
	r.t.Helper()
	ctx := r.t.Context()
	reader, err := r.jetStream(nc).Consumer(ctx, "JOBS", "reader")
	if err != nil {
		r.t.Fatal(err)
	}
	if info := reader.CachedInfo(); info.AckFloor.Stream != acked || info.Delivered.Stream != acked+1 || info.NumAckPending != 1 {
		r.t.Errorf("the reader is at %+v, %+v, %d pending", info.AckFloor, info.Delivered, info.NumAckPending)
	}
	if err := nc.Publish(h.pending.Reply(), []byte("+ACK")); err != nil {
		r.t.Fatal(err)
	}
	await(r.t, "what was asked for before is acknowledged", func() bool {
		info, err := reader.Info(ctx)
		return err == nil && info.AckFloor.Stream == acked+1
	})
	m, err := reader.Next()
	if err != nil || string(m.Data()) != strconv.Itoa(acked+1) {
		r.t.Fatalf("the next: %v", err)
	}
	if meta, err := m.Metadata(); err != nil || meta.Domain != "c1" || !strings.HasPrefix(m.Reply(), "$JS.ACK.c1.") {
		r.t.Errorf("%s: %+v, %v", m.Reply(), meta, err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		r.t.Error(err)
	}
}

// writer stores one message after another, each until it is acknowledged.
type writer struct {
	t            *testing.T
	acknowledged atomic.Int64
	stop         context.CancelFunc
	done         sync.WaitGroup
}

func (r *rolled) writes(nc *nats.Conn) *writer {
	w := &writer{t: r.t}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(r.t.Context())
	js := streamOf(r.t, nc)
	w.done.Go(func() {
		for ctx.Err() == nil {
			n := strconv.FormatInt(w.acknowledged.Load(), 10)
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_, err := js.Publish(short, "events.later", []byte(n), jetstream.WithMsgID("later-"+n))
			cancel()
			if err == nil {
				w.acknowledged.Add(1)
				pause(w.t, time.Millisecond)
			}
		}
	})
	return w
}

// more waits until some more have been acknowledged.
func (w *writer) more() {
	w.t.Helper()
	from := w.acknowledged.Load()
	await(w.t, "what is written is acknowledged", func() bool { return w.acknowledged.Load() > from+20 })
}

// end says how many were acknowledged.
func (w *writer) end() int {
	w.stop()
	w.done.Wait()
	return int(w.acknowledged.Load())
}

// A cell that has no domain gets one host by host while it is written to: streams, the position of a durable reader, buckets and objects are as they
// were, and nothing that was acknowledged is lost. A cell of one can go back, too.
func TestACellGetsItsDomainHostByHost(t *testing.T) {
	for _, hosts := range []int{1, 3} {
		t.Run(strconv.Itoa(hosts), func(t *testing.T) {
			r := newRolled(t, hosts)
			for i := range hosts {
				r.begin(i, true)
			}
			nc := r.connect()
			h := r.fill(nc)
			r.whole()
			w := r.writes(r.connect())
			w.more()
			for i := range hosts {
				r.exchange(i, false)
				w.more()
				r.check(nc, h)
			}
			later := w.end()
			r.goesOn(nc, h)
			for i := range hosts {
				r.exchange(i, false)
			}
			r.check(nc, h)
			r.stores(nc, later)
			if hosts == 1 {
				r.exchange(0, true)
				r.check(nc, h)
				r.stores(nc, later)
			}
		})
	}
}

// stores holds the stream against what was acknowledged.
func (r *rolled) stores(nc *nats.Conn, later int) {
	r.t.Helper()
	ctx := r.t.Context()
	events, err := r.jetStream(nc).Stream(ctx, "JOBS")
	if err != nil {
		r.t.Fatal(err)
	}
	info, err := events.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Logf("%d messages were stored meanwhile", later)
	// The last may have been stored without its answer.
	if n := info.State.Subjects["events.later"]; info.State.Subjects["events.kept"] != kept || n < uint64(later) || n > uint64(later)+1 || later == 0 {
		r.t.Errorf("%v, %d acknowledged", info.State.Subjects, later)
	}
}
