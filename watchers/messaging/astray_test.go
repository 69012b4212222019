package messaging

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
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

// TestH68MicrosVerbsAnswerInboxesAlone asks every service PING, INFO and STATS with a reply subject that a stream takes: NATS's own service answers there, with the
// rights of whoever offers it, and ours does not.
func TestH68MicrosVerbsAnswerInboxesAlone(t *testing.T) {
	for name, ours := range map[string]bool{"NATS's own": false, "a service watcher": true} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t)
			p := kept(t, b, "fleet")
			conn := b.client()
			stolen, err := conn.SubscribeSync("$KV.>")
			if err != nil {
				t.Fatal(err)
			}
			if ours {
				defer listening(t, p, nil, "service", "name: adder\nsubject: add\nreply: 1").stop()
			} else {
				served, err := micro.AddService(wait(t, p, "fleet"), micro.Config{Name: "adder", Version: "0.0.0"})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = served.Stop() }()
				if err := wait(t, p, "fleet").Flush(); err != nil {
					t.Fatal(err)
				}
			}
			for _, verb := range []string{"PING", "INFO", "STATS"} {
				for _, whom := range []string{"", ".adder"} {
					subject := "$SRV." + verb + whom
					if m := ask(t, conn, subject, ""); len(m.Data) == 0 { // it is there, and answers an inbox
						t.Errorf("%s is not answered", subject)
					}
					if err := conn.PublishRequest(subject, "$KV.NODES.n1", nil); err != nil {
						t.Fatal(err)
					}
					ask(t, conn, subject, "") // it has come to the one before
					if n, _, err := stolen.Pending(); err != nil || (n == 0) != ours {
						t.Errorf("%s: %d answers were led to a bucket (%v)", subject, n, err)
					}
					for n, _, _ := stolen.Pending(); n > 0; n-- {
						_, _ = stolen.NextMsg(patience)
					}
				}
			}
		})
	}
}
