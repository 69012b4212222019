package consumers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// TestAClientReadsDurably uses what nats.go has for it, by the prefix of its own API and nothing else.
func TestAClientReadsDurably(t *testing.T) {
	s := newScene(t, "")
	s.publish(30)
	js := s.client(alice)
	cfg := jetstream.ConsumerConfig{Durable: "bridge", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"event.1", "event.2"}}
	c, err := js.CreateOrUpdateConsumer(t.Context(), "EVENTS", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo(); got.Name != "bridge" || got.Config.Durable != "bridge" || got.NumPending != 6 {
		t.Errorf("the consumer is %+v", got)
	}
	batch, err := c.Fetch(4, jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil || meta.Stream != "EVENTS" || meta.Consumer != alice+"-bridge" {
			t.Errorf("%+v, %v", meta, err)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := batch.Error(); err != nil {
		t.Error(err)
	}
	// Another session goes on where this one was.
	again, err := s.client(alice).Consumer(t.Context(), "EVENTS", "bridge")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 2 {
		m, err := again.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Data()))
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"event 21", "event 22"}; !slices.Equal(got, want) {
		t.Errorf("it goes on with %v, want %v", got, want)
	}
	if none, err := again.FetchNoWait(1); err != nil {
		t.Error(err)
	} else if _, more := <-none.Messages(); more || none.Error() != nil {
		t.Errorf("after the last there is %v", none.Error())
	}
	await(t, "all is acknowledged", func() bool {
		info, err := again.Info(t.Context())
		return err == nil && info.NumAckPending == 0
	})
	if err := js.DeleteConsumer(t.Context(), "EVENTS", "bridge"); err != nil {
		t.Error(err)
	}
	if _, err := js.Consumer(t.Context(), "EVENTS", "bridge"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("a consumer that was deleted: %v", err)
	}
}

// TestADurableConsumerGoesOnAfterItsCellHasGrown: it is a copy then, which begins at a sequence, and the program that makes it anew at each start says where the first
// one began.
func TestADurableConsumerGoesOnAfterItsCellHasGrown(t *testing.T) {
	s := newScene(t, "")
	s.publish(30)
	if _, err := s.js.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{
		Durable: alice + keyEnd + "tickets", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 21, MaxWaiting: mostPulls,
	}); err != nil {
		t.Fatal(err)
	}
	cfg := jetstream.ConsumerConfig{Durable: "tickets", AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy, Description: "opens tickets"}
	js := s.client(alice)
	c, err := js.CreateOrUpdateConsumer(t.Context(), "EVENTS", cfg)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Next(jetstream.FetchMaxWait(patience))
	if err != nil || string(m.Data()) != "event 20" || c.CachedInfo().Config.Description != "opens tickets" {
		t.Errorf("%v, %v: %+v", m, err, c.CachedInfo().Config)
	}
	if _, err := js.CreateConsumer(t.Context(), "EVENTS", cfg); err == nil {
		t.Error("what is to be new is there")
	}
	cfg.AckPolicy = jetstream.AckNonePolicy
	if _, err := js.CreateOrUpdateConsumer(t.Context(), "EVENTS", cfg); err == nil {
		t.Error("it does not acknowledge any more")
	}
}

// TestAClientConsumes follows events as they come, with heartbeats, and by an ordered consumer.
func TestAClientConsumes(t *testing.T) {
	s := newScene(t, "")
	s.publish(10)
	js := s.client(alice)
	c, err := js.CreateOrUpdateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "live", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	ordered, err := js.OrderedConsumer(t.Context(), "EVENTS", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]jetstream.Consumer{"durable": c, "ordered": ordered} {
		heard, wrong := make(chan string, 100), make(chan error, 100)
		consuming, err := c.Consume(func(m jetstream.Msg) {
			heard <- string(m.Data())
			_ = m.Ack()
		}, jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(time.Second), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { wrong <- err }))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if got := <-heard; got != fmt.Sprintf("event %d", i) {
				t.Errorf("%s: hears %q", name, got)
			}
		}
		// A pull ends meanwhile and another is made: that is told by states, which are no messages.
		select {
		case got := <-heard:
			t.Errorf("%s: hears %q", name, got)
		case err := <-wrong:
			t.Errorf("%s: %v", name, err)
		case <-time.After(3 * time.Second):
		}
		consuming.Stop()
		<-consuming.Closed()
	}
}

// TestAClientFindsOutWhatThereIs lists streams and its own consumers, and finds the stream of a subject.
func TestAClientFindsOutWhatThereIs(t *testing.T) {
	s := newScene(t, "")
	s.publish(3)
	js, other := s.client(alice), s.client(bob)
	for _, of := range []jetstream.JetStream{js, other} {
		for _, name := range []string{"a", "b"} {
			if _, err := of.CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: name}); err != nil {
				t.Fatal(err)
			}
		}
	}
	stream, err := js.Stream(t.Context(), "EVENTS")
	if err != nil || stream.CachedInfo().State.Msgs != 3 {
		t.Fatalf("%+v, %v", stream, err)
	}
	var names []string
	for info := range stream.ListConsumers(t.Context()).Info() {
		names = append(names, info.Name)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		names = append(names, name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"a", "a", "b", "b"}) {
		t.Errorf("it sees the consumers %v", names)
	}
	var streams []string
	for name := range js.StreamNames(t.Context()).Name() {
		streams = append(streams, name)
	}
	for info := range js.ListStreams(t.Context()).Info() {
		streams = append(streams, info.Config.Name)
	}
	if !slices.Equal(streams, []string{"EVENTS", "EVENTS"}) {
		t.Errorf("it sees the streams %v", streams)
	}
	if name, err := js.StreamNameBySubject(t.Context(), "event.1"); err != nil || name != "EVENTS" {
		t.Errorf("the stream of its subject is %q, %v", name, err)
	}
	if _, err := js.StreamNameBySubject(t.Context(), "other.1"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream of another subject: %v", err)
	}
	if _, err := js.Stream(t.Context(), "OTHER"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("another stream: %v", err)
	}
	if a, err := js.AccountInfo(t.Context()); err != nil || a.Consumers != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestWhatIsNotServedIsRefused in words that say what to do, and makes nothing.
func TestWhatIsNotServedIsRefused(t *testing.T) {
	s := newScene(t, "max_size: 4KiB")
	nc := s.connect(alice)
	const create = "CONSUMER.CREATE.EVENTS.c"
	for _, tt := range []struct{ subject, body, want string }{
		{create, `{"stream_name":"EVENTS","config":{"deliver_subject":"node.x.in.operate.stop"}}`, "push consumers are not served"},
		{create, `{"stream_name":"EVENTS","config":{"Deliver_Subject":"node.x"}}`, "Deliver_Subject"},
		{create, `{"stream_name":"EVENTS","config":{"idle_heartbeat":1000000000}}`, "push consumers"},
		{create, `{"stream_name":"EVENTS","config":{"sample_freq":"100"}}`, "sample_freq"},
		{create, `{"stream_name":"EVENTS","config":{"pause_until":"2030-01-01T00:00:00Z"}}`, "pause_until"},
		{create, `{"stream_name":"EVENTS","config":{"pause_until":"0001-01-01T00:00:00Z"}}`, ""}, // as the nats command line
		{create, `{"stream_name":"EVENTS","config":{"replay_policy":"original"}}`, "replay_policy"},
		{create, `{"stream_name":"EVENTS","config":{"ack_policy":"flow_control"}}`, "ack_policy"},
		{create, `{"stream_name":"EVENTS","config":{"ack_wait":1}}`, ""}, // it is lifted to what may be
		{create, `{"stream_name":"EVENTS","config":{"backoff":[7200000000000]}}`, "backoff"},
		{create, `{"stream_name":"OTHER","config":{}}`, "stream_name"},
		{create, `{"stream_name":"EVENTS","config":{"name":"d"}}`, "in the subject"},
		{create, `{"stream_name":"EVENTS","config":{"name":"c"},"action":"reset"}`, "action"},
		{create, `nonsense`, "JSON"},
		{create, `{"stream_name":"EVENTS","config":{"description":"` + fmt.Sprintf("%5000s", "") + `"}}`, "larger"},
		{"CONSUMER.CREATE.EVENTS.c.event.1", `{"stream_name":"EVENTS","config":{"filter_subject":"event.2"}}`, "filter_subject"},
		{"CONSUMER.CREATE.OTHER.c", `{"stream_name":"OTHER","config":{}}`, "stream not found"},
		{"CONSUMER.PAUSE.EVENTS.c", `{}`, "not served"}, {"CONSUMER.LEADER.STEPDOWN.EVENTS.c", "", "not served"},
		{"STREAM.DELETE.EVENTS", "", "not served"}, {"STREAM.MSG.GET.EVENTS", `{"seq":1}`, "not served"}, {"DIRECT.GET.EVENTS", `{"seq":1}`, "not served"},
		{"SERVER.REMOVE", "", "not served"}, {"META.LEADER.STEPDOWN", "", "not served"}, {"ACCOUNT.PURGE.x", "", "not served"}, {"CONSUMER", "", "not served"},
	} {
		m, err := nc.Request(prefix(alice)+"."+tt.subject, []byte(tt.body), patience)
		if err != nil {
			t.Fatalf("%s: %v", tt.subject, err)
		}
		said := string(m.Data)
		if refused := strings.Contains(said, `"error"`); refused != (tt.want != "") || !strings.Contains(said, tt.want) {
			t.Errorf("%s %.100s is answered with %s", tt.subject, tt.body, said)
		}
	}
	// A pull has no body where it is refused: clients take a body for a message.
	for _, subject := range []string{"CONSUMER.MSG.NEXT.OTHER.c", "CONSUMER.MSG.NEXT.EVENTS.none", "CONSUMER.MSG.NEXT.EVENTS"} {
		m, err := nc.Request(prefix(alice)+"."+subject, []byte(`{"expires":1000000000,"batch":1}`), quietly)
		if err == nil && (len(m.Data) > 0 || m.Header.Get("Status") == "") {
			t.Errorf("%s is answered with %v %s", subject, m.Header, m.Data)
		}
	}
	names := s.client(alice)
	stream, err := names.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	for name := range stream.ConsumerNames(t.Context()).Name() {
		if name != "c" {
			t.Errorf("there is a consumer %s", name)
		}
	}
}
