package node_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/broker"
)

// TestH71WhoAsksAgainAtOnceIsAnswered asks for the same of one node many times, without waiting for an answer: each is answered, and none is told that
// somebody is at it.
func TestH71WhoAsksAgainAtOnceIsAnswered(t *testing.T) {
	c := newCell(t, nil)
	newMember(t, "n1.example", t.TempDir(), c.join, nil).becomes("active")
	conn := c.operator()
	defer conn.Close()
	answers := make(chan *nats.Msg, 100)
	const times = 5
	for service, question := range map[string]any{
		"approve": map[string]any{"node": "n1=example", "key": strings.Repeat("ab", 32), "by": "operator"},
		"retire":  map[string]any{"node": "n1=example", "by": "operator"},
	} {
		inbox := conn.NewInbox()
		sub, err := conn.ChanSubscribe(inbox+".*", answers)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(question)
		if err != nil {
			t.Fatal(err)
		}
		for i := range times {
			if err := conn.PublishRequest(broker.ServiceSubject(conn.Opts.Nkey, service), inbox+"."+string(rune('a'+i)), body); err != nil {
				t.Fatal(err)
			}
		}
		for range times {
			if m := <-answers; m.Header.Get("Nats-Service-Error") != "" {
				t.Errorf("%s: %s", service, m.Header.Get("Nats-Service-Error"))
			}
		}
		_ = sub.Unsubscribe()
	}
}
