package node_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// led are reply subjects by which an answer would do harm.
func led() []string {
	return []string{
		"_INBOX.other.68", "$KV.NODES.victim68", "$KV.REVOKED.identity.victim68", "$JS.API.STREAM.PURGE.KV_NODES", "node.victim68.in.operate.reprovision",
		"choria.lifecycle.event.victim68.x", "$JS.API.STREAM.DELETE.KV_NODES", "$JS.API.STREAM.MSG.DELETE.KV_NODES", "$JS.API.CONSUMER.CREATE.KV_NODES", "$SRV.PING",
		"discovery.victim68", "overlay.enrolled.victim68", "$JS.ACK.KV_NODES.x.1.1.1.1.0",
	}
}

// leads asks a service with its answer led elsewhere, and returns a function that says where something has come.
func leads(t *testing.T, everything, asker *nats.Conn, service string) (came func() []string) {
	t.Helper()
	subject := serviceOf(asker, service)
	answered := func() bool {
		_, err := asker.Request(subject, []byte("{}"), 2*time.Second)
		return err == nil
	}
	eventually(t, service+" answers its asker", answered)
	var spies []*nats.Subscription
	for _, reply := range led() {
		spy, err := everything.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = spy.Unsubscribe() })
		spies = append(spies, spy)
	}
	if err := everything.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, reply := range led() {
		if err := asker.PublishRequest(subject, reply, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // by then those before were answered, if they were
		eventually(t, service+" answers its asker", answered)
	}
	return func() []string {
		if err := everything.Flush(); err != nil { // what the broker has for its spies is there by then
			t.Fatal(err)
		}
		var subjects []string
		for _, spy := range spies {
			if n, _, err := spy.Pending(); n > 0 || err != nil {
				subjects = append(subjects, spy.Subject)
			}
		}
		return subjects
	}
}

// TestH68EachServiceAnswersItsAskerAlone asks each service that a right opens, with the answer led to where it would do harm.
func TestH68EachServiceAnswersItsAskerAlone(t *testing.T) {
	t.Run("without its guard", func(t *testing.T) {
		c := newCell(t, func(o *overlay.InitOptions) {
			o.Machines = override(t, t.TempDir(), "overlay/register", `inbox: '"_INBOX." + message.tokens[1] + "."'
      serves`, `inbox: '"_INBOX."'
      serves`)
		})
		everything, _ := c.client("admin")
		viewer, _ := c.client("fleet_view")
		came := leads(t, everything, viewer, "nodes")
		eventually(t, "the test sees an answer that is led elsewhere", func() bool { return slices.Equal(came(), []string{"_INBOX.other.68"}) })
	})
	c := newCell(t, nil)
	everything, _ := c.client("admin")
	for _, right := range broker.Rights() {
		for _, service := range right.Services {
			t.Run(right.Name+" "+service, func(t *testing.T) {
				asker, _ := c.client(right.Name)
				if came := leads(t, everything, asker, strings.NewReplacer(">", "STREAM.INFO.EVENTS", "*", "overlay1").Replace(service))(); len(came) > 0 {
					t.Errorf("an answer comes to %q", came)
				}
			})
		}
	}
}
