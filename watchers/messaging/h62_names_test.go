package messaging

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
)

// TestH62WhatOthersSayIsBoundedBeforeItIsASubject has messages of others decide subjects, keys and inboxes, with more characters than any of
// them may have. The messages are counted, the connection stays, and the next message is handled.
func TestH62WhatOthersSayIsBoundedBeforeItIsASubject(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := wait(t, p, "fleet")
	long := strings.Repeat("a", 100_000)
	client := b.client()

	passes := listening(t, p, nil, "subscribe", `subject: in
forward: {subject: '"out." + message.body'}`)
	passed, err := client.SubscribeSync("out.x")
	if err != nil {
		t.Fatal(err)
	}
	tells(t, client, "in", long, "x")
	passes.await(outcomeUnreadable)
	if _, err := passed.NextMsg(patience); err != nil {
		t.Errorf("the message after it is not passed on: %v", err)
	}

	host := &spawner{}
	starts := listening(t, p, host, "spawn", "template: t\nsubject: start\nkey: message.body")
	tells(t, client, "start", long, strings.Repeat("k", 513), "a\x00b", "a\nb", "good")
	for range 3 { // the first, the second and the fourth are told
		if r := starts.await(outcomeUnreadable); len(r.Message) > 2000 {
			t.Errorf("the report has %d bytes", len(r.Message))
		}
	}
	starts.await(machine.OutcomeSuccess)
	if last := host.last(); last.Key != "good" || len(host.orders) != 1 {
		t.Errorf("%d instances were started, the last as %.50q", len(host.orders), last.Key)
	}

	answers := listening(t, p, nil, "service", "name: echo\nsubject: echo\nreply: message.body")
	if err := client.PublishRequest("echo", "_INBOX."+strings.Repeat("r", 2000), []byte("x")); err != nil {
		t.Fatal(err)
	}
	answers.await(outcomeUnreadable)
	if m, err := client.Request("echo", []byte("x"), patience); err != nil || string(m.Data) != "x" {
		t.Errorf("the request after it: %v, %v", m, err)
	}
	if now := wait(t, p, "fleet"); now != conn || conn.IsClosed() {
		t.Error("the connection was lost")
	}
}

// TestBadInputAnErrorOfOthersIsQuotedInPart has a service refuse with 100,000 characters.
func TestBadInputAnErrorOfOthersIsQuotedInPart(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	long := strings.Repeat("e", 100_000)
	client := b.client()
	if _, err := client.Subscribe("ask", func(m *nats.Msg) {
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{micro.ErrorHeader: {long}, micro.ErrorCodeHeader: {long}}})
	}); err != nil {
		t.Fatal(err)
	}
	if err := client.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	r := check(t, p, nil, "request", "subject: ask")
	if text, _ := r.Payload["error"].(string); r.Outcome != outcomeRefused || len(r.Message) > 2000 || len(text) > 2000 {
		t.Errorf("%s with %d bytes, and %d in the payload", r.Outcome, len(r.Message), len(text))
	}
}

func tells(t *testing.T, conn *nats.Conn, subject string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if err := conn.Publish(subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
}
