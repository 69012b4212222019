package messaging

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// TestAnswersAreNotLedAstray asks with reply subjects that are nobody's inbox: the service would publish there with its own rights.
func TestAnswersAreNotLedAstray(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	stolen, err := conn.SubscribeSync("$KV.>")
	if err != nil {
		t.Fatal(err)
	}
	other, err := conn.SubscribeSync("_INBOX.other.>")
	if err != nil {
		t.Fatal(err)
	}
	for _, properties := range []string{
		"micro: true\nreply: message.body", "micro: false\nreply: message.body", "micro: false\nreply: message.body\nwhere: false",
		"micro: false\nreply: message.missing.field",
	} {
		a := listening(t, p, nil, "service", "name: echo\nsubject: node.*.out.x\ninbox: '\"_INBOX.\" + message.tokens[1] + \".\"'\n"+properties)
		for _, reply := range []string{"$KV.NODES.b", "_INBOX.other.1", "node.n1.out.x", "_INBOX.n1"} {
			if err := conn.PublishMsg(&nats.Msg{Subject: "node.n1.out.x", Reply: reply, Data: []byte(`{"public_key": "mine"}`)}); err != nil {
				t.Fatal(err)
			}
		}
		a.await(outcomeUnreadable)
		own, err := conn.SubscribeSync("_INBOX.n1.1")
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.PublishMsg(&nats.Msg{Subject: "node.n1.out.x", Reply: "_INBOX.n1.1", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		if _, err := own.NextMsg(patience); err != nil {
			t.Errorf("%s: an asker's own inbox hears nothing: %v", properties, err)
		}
		a.stop()
	}
	for _, s := range []*nats.Subscription{stolen, other} {
		if n, _, err := s.Pending(); err != nil || n > 0 {
			t.Errorf("%d answers were led to %s (%v)", n, s.Subject, err)
		}
	}
}
