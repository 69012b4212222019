package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// region is a nats-server elsewhere to which cells connect by leafnode.
type region struct {
	*server.Server
	t    testing.TB
	name string
}

// grant is what a region allows the user of a cell, as a list of subjects each.
type grant struct{ publish, subscribe []string }

// everythingGranted is what a region allows that is hostile.
func everythingGranted() grant { return grant{[]string{">"}, []string{">"}} }

// exactly is what a region is to allow a cell whose streams it takes.
func exactly(name, cell string, streams ...string) grant {
	g := grant{publish: []string{DeliverSubject(name, cell) + ".>"}}
	for _, s := range streams {
		g.publish = append(g.publish, fmt.Sprintf("$JSC.R.%s.*.%s.%s.>", cell, s, name))
		g.subscribe = append(g.subscribe, fmt.Sprintf("$JS.%s.API.CONSUMER.RESET.%s.%s", cell, s, name), fmt.Sprintf("$JS.FC.%s.*.%s.%s.>", cell, s, name))
	}
	return g
}

func quoted(subjects []string) string {
	if len(subjects) == 0 {
		return `{deny: ">"}`
	}
	return `["` + strings.Join(subjects, `", "`) + `"]`
}

const newForms = "js_ack_fc_v2: true, js_api_reply_v2: true, js_snapshot_sources: true"

// startRegion starts a region with feature flags. Its account REGION has the user of the cell, whose password is secret, and one who may do everything.
func startRegion(t testing.TB, name, flags string, g grant) *region {
	t.Helper()
	return startPlain(t, name, fmt.Sprintf(`
		jetstream {domain: %q, store_dir: %q, max_file: 1G, max_mem: 64M}
		feature_flags {%s}
		accounts {
			REGION {jetstream: enabled, users: [
				{user: cell, password: secret, permissions: {publish: %s, subscribe: %s}}
				{user: all, password: all}
			]}
		}
		leafnodes {listen: "127.0.0.1:-1"}`, name, t.TempDir(), flags, quoted(g.publish), quoted(g.subscribe)))
}

// startPlain starts a nats-server with a configuration.
func startPlain(t testing.TB, name, configuration string) *region {
	t.Helper()
	o := &server.Options{NoLog: true, NoSigs: true, ServerName: name, Host: "127.0.0.1", Port: -1}
	if err := o.ProcessConfigString(configuration); err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	await(t, name+" listens", func() bool { return s.ReadyForConnections(time.Millisecond) })
	return &region{s, t, name}
}

// leafURL is where a cell connects.
func (r *region) leafURL() string {
	r.t.Helper()
	v, err := r.Varz(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("nats://cell:secret@127.0.0.1:%d", v.LeafNode.Port)
}

// leafnode is the entry of a cell for the region.
func (r *region) leafnode(streams ...string) Leafnode {
	return Leafnode{Region: r.name, URLs: []string{r.leafURL()}, Streams: streams}
}

// connect connects somebody who may do everything in the region's account.
func (r *region) connect() *nats.Conn {
	r.t.Helper()
	return dialPlain(r.t, r.ClientURL(), "all")
}

func dialPlain(t testing.TB, url, user string) *nats.Conn {
	t.Helper()
	gone := make(chan struct{})
	c, err := nats.Connect(url, nats.UserInfo(user, user), nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ClosedHandler(func(*nats.Conn) { close(gone) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-gone
	})
	return c
}

// streamOf opens JetStream as a client.
func streamOf(t testing.TB, c *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// unacknowledged is how many messages may be on their way to a region.
const unacknowledged = 500

// offers makes a stream that a region is to take, with its consumer, and stores messages in it.
func offers(t testing.TB, js jetstream.JetStream, stream, to, cell string, replicas, messages int) {
	t.Helper()
	subject := "out." + stream + ".x"
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: stream, Subjects: []string{"out." + stream + ".>"}, Retention: jetstream.WorkQueuePolicy, Replicas: replicas, MaxBytes: 16 << 20,
	})
	if err == nil {
		_, err = js.CreatePushConsumer(t.Context(), stream, jetstream.ConsumerConfig{
			Durable: to, DeliverSubject: DeliverSubject(to, cell) + "." + stream, AckPolicy: jetstream.AckFlowControlPolicy, FlowControl: true,
			IdleHeartbeat: time.Second, MaxAckPending: unacknowledged,
		})
	}
	for i := 0; err == nil && i < messages; i++ {
		_, err = js.PublishAsync(subject, fmt.Appendf(nil, "%d", i))
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(patience):
		t.Fatalf("the messages of %s are not stored", stream)
	}
}

// takes makes the stream of a region that takes that of a cell.
func (r *region) takes(cell, stream string) jetstream.Stream {
	r.t.Helper()
	s, err := streamOf(r.t, r.connect()).CreateStream(r.t.Context(), jetstream.StreamConfig{Name: "CELLS", Sources: []*jetstream.StreamSource{{
		Name: stream, External: &jetstream.ExternalStream{APIPrefix: "$JS." + cell + ".API", DeliverPrefix: DeliverSubject(r.name, cell)},
		Consumer: &jetstream.StreamConsumerSource{Name: r.name, DeliverSubject: DeliverSubject(r.name, cell) + "." + stream},
	}}})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// stored is how many messages a stream has, and how many it lacks of its source.
func stored(t testing.TB, s jetstream.Stream) (has, lacks uint64) {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range info.Sources {
		lacks += source.Lag
	}
	return info.State.Msgs, lacks
}

// uplink connects to UPLINK as a host of the cell.
func (o *overlay) uplink(t testing.TB, b *Broker) jetstream.JetStream {
	t.Helper()
	return streamOf(t, o.connect(t, b.ClientURL(), o.service(t, RightUplinkService)))
}

// connectedLeafnodes waits for a broker's leafnodes.
func connectedLeafnodes(t testing.TB, b *Broker) {
	t.Helper()
	most := len(b.cfg.Leafnodes)
	if b.enrollment != nil {
		most++
	}
	await(t, "the leafnodes are connected", func() bool { return b.fleet.server.NumLeafNodes() == most })
}

// pause lets what is not to happen happen.
func pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
