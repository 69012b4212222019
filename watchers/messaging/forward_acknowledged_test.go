package messaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

const acknowledging = `
subject: node.*.out.event.>
where: message.body.identity == replace(message.tokens[1], '=', '.')
forward:
  subject: "'choria.' + join(message.tokens[4:], '.')"
  acknowledged: true
  id: message.tokens[1] + "/" + (message.body.id ?? "")
  inbox: '"_INBOX." + message.tokens[1] + "."'
`

// stored starts a broker with streams, and a client whose inboxes are those of n1.example.
func stored(t *testing.T) (*broker, *Pool, *nats.Conn, jetstream.JetStream) {
	t.Helper()
	b := startBroker(t, func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
	p := kept(t, b, "fleet")
	conn, err := nats.Connect(b.url(), nats.Timeout(patience), nats.CustomInboxPrefix("_INBOX.n1=example"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return b, p, conn, js
}

func events(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"choria.>"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// askEvents asks and waits as long as a node does.
func askEvents(t *testing.T, conn *nats.Conn, subject, body string) *nats.Msg {
	t.Helper()
	m, err := conn.Request(subject, []byte(body), patience)
	if err != nil {
		t.Fatalf("%s is not answered: %v", subject, err)
	}
	return m
}

// TestH64TheAcknowledgementOfTheStreamReachesTheNode passes on what is told twice, because the node heard of no answer, and stores it once.
func TestH64TheAcknowledgementOfTheStreamReachesTheNode(t *testing.T) {
	_, p, conn, js := stored(t)
	stream := events(t, js)
	listening(t, p, nil, "subscribe", acknowledging)
	for _, duplicate := range []bool{false, true} {
		m := askEvents(t, conn, "node.n1=example.out.event.startup", `{"identity": "n1.example", "id": "a"}`)
		var ack jetstream.PubAck
		if err := json.Unmarshal(m.Data, &ack); err != nil || ack.Stream != "EVENTS" || ack.Sequence != 1 || ack.Duplicate != duplicate {
			t.Errorf("the node hears %s %v (%v)", m.Data, m.Header, err)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("the stream has %+v (%v)", info, err)
	}
}

// TestH64WhatTheStreamDoesNotTakeIsSaid: to the node with a reason, and as the outcomes lagging and caught_up.
func TestH64WhatTheStreamDoesNotTakeIsSaid(t *testing.T) {
	_, p, conn, js := stored(t)
	a := listening(t, p, nil, "subscribe", acknowledging)
	hears := func(body, want string) {
		t.Helper()
		m := askEvents(t, conn, "node.n1=example.out.event.startup", body)
		if said := m.Header.Get(micro.ErrorCodeHeader) + " " + m.Header.Get(micro.ErrorHeader); !strings.HasPrefix(said, want) {
			t.Errorf("%s: %q, want %q", body, said, want)
		}
	}
	hears(`{"identity": "n1.example"}`, "503 nats: no response from stream")
	if r := a.await(outcomeLagging); r.Payload["reason"] == "" || !strings.Contains(r.Message, "choria.startup") {
		t.Errorf("%+v", r)
	}
	events(t, js)
	hears(`{"identity": "n1.example"}`, " ")
	a.await(outcomeForwarded)
	a.await(outcomeCaughtUp)
	hears(`{"identity": "n2.example"}`, "400 it is refused: the condition is false")
	hears(`{"identity": "n1.example", "id": 1}`, "400 it is refused: ")
	hears("\xff", "400 it is refused: ")
}

// TestH64AStreamThatComesMeanwhileHasIt tries again by itself, as there is a leader again soon.
func TestH64AStreamThatComesMeanwhileHasIt(t *testing.T) {
	_, p, conn, js := stored(t)
	listening(t, p, nil, "subscribe", acknowledging)
	answer := make(chan *nats.Msg, 1)
	sub, err := conn.Subscribe("_INBOX.n1=example.a", func(m *nats.Msg) { answer <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	m := &nats.Msg{Subject: "node.n1=example.out.event.startup", Reply: "_INBOX.n1=example.a", Data: []byte(`{"identity": "n1.example"}`)}
	if err := errors.Join(conn.PublishMsg(m), conn.Flush()); err != nil {
		t.Fatal(err)
	}
	events(t, js)
	if m := next(t, answer); !strings.Contains(string(m.Data), `"EVENTS"`) {
		t.Errorf("the node hears %s %v", m.Data, m.Header)
	}
}

// TestH64NobodyIsAnsweredElsewhere answers only where the sender could publish itself.
func TestH64NobodyIsAnsweredElsewhere(t *testing.T) {
	b, p, conn, js := stored(t)
	events(t, js)
	heard := hear(t, b, "choria.>")
	a := listening(t, p, nil, "subscribe", acknowledging)
	for _, reply := range []string{"choria.x", "_INBOX.n2=example.a", "$JS.API.STREAM.DELETE.EVENTS"} {
		m := &nats.Msg{Subject: "node.n1=example.out.event.startup", Reply: reply, Data: []byte(`{"identity": "n1.example"}`)}
		if err := errors.Join(conn.PublishMsg(m), conn.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the 1st and the 2nd
		if r := a.await(outcomeUnreadable); !strings.Contains(r.Message, "inbox") {
			t.Errorf("%+v", r)
		}
	}
	select {
	case m := <-heard:
		t.Errorf("passes on %s %s", m.Subject, m.Data)
	default:
	}
}

// TestForwardEndsWithWhatItWasSent loses nothing that the broker had sent when the machine leaves its state.
func TestForwardEndsWithWhatItWasSent(t *testing.T) {
	for _, properties := range []string{
		"subject: in.>\nforward: {subject: \"'choria.' + message.tokens[1]\"}", "subject: in.>\nforward: {subject: \"'choria.' + message.tokens[1]\", acknowledged: true}",
	} {
		const many = 200
		_, p, conn, js := stored(t)
		stream := events(t, js)
		a := listening(t, p, nil, "subscribe", properties)
		for n := range many {
			if err := conn.Publish(fmt.Sprintf("in.%d", n), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
		a.stop()
		eventually(t, "all is passed on", func() bool {
			info, err := stream.Info(t.Context())
			return err == nil && info.State.Msgs == many
		})
	}
}
