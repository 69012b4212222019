package consumers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// H68: a right of a client is no way to flood the broker. TestH68APullIsNoFlood asks for a heartbeat each nanosecond: one message would be answered with thousands.
func TestH68APullIsNoFlood(t *testing.T) {
	s := newScene(t, "")
	if _, err := s.client(alice).CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "c"}); err != nil {
		t.Fatal(err)
	}
	nc := s.connect(alice)
	for _, body := range []string{
		`{"batch":1,"expires":2000000000,"idle_heartbeat":1}`, `{"batch":1,"expires":2000000000,"Idle_Heartbeat":1}`, `{"batch":1,"expires":2000000000,"idle_heartbeat":-1}`,
		`{"batch":1,"expires":2000000000,"idle_heartbeat":1000000000,"idle_heartbeat":1}`, `{"batch":1,"expires":1000000000,"group":"g"}`, "{", "x",
	} {
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest(prefix(alice)+".CONSUMER.MSG.NEXT.EVENTS.c", inbox, []byte(body)); err != nil {
			t.Fatal(err)
		}
		first, err := sub.NextMsg(patience)
		if err != nil || first.Header.Get("Status") != "400" || !strings.HasPrefix(first.Header.Get("Description"), "Bad Request") {
			t.Errorf("%s is answered with %+v, %v", body, first, err)
		}
		if more, err := sub.NextMsg(quietly); err == nil {
			t.Errorf("%s is answered with %v too", body, more.Header)
		}
		_ = sub.Unsubscribe()
	}
}

// H68: TestH68AnAcknowledgementIsNoFlood asks for a heartbeat each microsecond by the acknowledgement of one message, which JetStream takes for a pull.
func TestH68AnAcknowledgementIsNoFlood(t *testing.T) {
	s := newScene(t, "")
	s.publish(2)
	c, err := s.client(alice).CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	nc := s.connect(alice)
	next := func(body string) (got []*nats.Msg) {
		t.Helper()
		batch, err := c.Fetch(1)
		if err != nil {
			t.Fatal(err)
		}
		inbox := nc.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		m, open := <-batch.Messages()
		if !open {
			t.Fatalf("there is no message: %v", batch.Error())
		}
		if err := nc.PublishRequest(m.Reply(), inbox, []byte(body)); err != nil {
			t.Fatal(err)
		}
		for {
			m, err := sub.NextMsg(quietly)
			if err != nil || len(got) > 10 {
				return got
			}
			got = append(got, m)
		}
	}
	if got := next(`+NXT {"batch":500,"idle_heartbeat":1000,"expires":2000000000}`); len(got) != 1 || got[0].Header.Get("Status") != "400" {
		t.Errorf("a flood is answered with %d messages", len(got))
	}
	s.publish(1)
	if got := next(`+NXT {"batch":1,"no_wait":true}`); len(got) != 1 || len(got[0].Data) == 0 {
		t.Errorf("who asks for the next message gets %d", len(got))
	}
}

// TestPullsAreTakenAsJetStreamTakesThem has a message by each form of a pull.
func TestPullsAreTakenAsJetStreamTakesThem(t *testing.T) {
	s := newScene(t, "")
	s.publish(3)
	if _, err := s.client(alice).CreateConsumer(t.Context(), "EVENTS", jetstream.ConsumerConfig{Durable: "c"}); err != nil {
		t.Fatal(err)
	}
	nc := s.connect(alice)
	for i, body := range []string{"", " 1 ", `{"batch":1,"expires":1000000000,"no_wait":true}`} {
		m, err := nc.RequestMsg(&nats.Msg{Subject: prefix(alice) + ".CONSUMER.MSG.NEXT.EVENTS.c", Data: []byte(body)}, patience)
		if want := "event " + string(rune('0'+i)); err != nil || string(m.Data) != want {
			t.Errorf("%q is answered with %+v, %v", body, m, err)
		}
	}
}

// FuzzReadPull holds what is passed on to what a client may ask for.
func FuzzReadPull(f *testing.F) {
	for _, seed := range []string{"", "7\n", "-1", "{", `{"batch":1,"expires":5,"idle_heartbeat":1}`, `{"batch":2}{}`, `{"batch":1e400}`, `{"expires":9223372036854775807}`, "[]", "null"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		said, err := readPull(body)
		if err != nil {
			return
		}
		var p struct {
			Batch, MaxBytes int
			Expires         time.Duration
			Heartbeat       time.Duration `json:"idle_heartbeat"`
			NoWait          bool          `json:"no_wait"`
		}
		if err := json.Unmarshal(said, &p); err != nil {
			t.Fatalf("%q becomes %q: %v", body, said, err)
		}
		if p.Heartbeat != 0 && p.Heartbeat < leastHeartbeat || p.Expires == 0 && !p.NoWait {
			t.Errorf("%q becomes %q", body, said)
		}
	})
}
