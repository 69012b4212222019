package messaging

import (
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
)

// TestFirstLoginNeedsNoSecondAnswer counts how often the source is asked: once for the first login, and again for each later one.
func TestFirstLoginNeedsNoSecondAnswer(t *testing.T) {
	b := startBroker(t)
	c := b.credentials()
	var asked atomic.Int32
	p := newPool(t, func(string, string) (*Credentials, error) {
		asked.Add(1)
		return c, nil
	})
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await(machine.OutcomeSuccess)
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times for the first login", n)
	}
	b.stop()
	a.await(machine.OutcomeFail)
	b.start()
	a.await(machine.OutcomeSuccess)
	if n := asked.Load(); n < 2 {
		t.Error("not asked for the second login")
	}
}

// TestFirstLoginThatWaited has credentials change while no broker is there to log in to.
func TestFirstLoginThatWaited(t *testing.T) {
	b, g := guarded(t, "new")
	old, fresh := b.credentials(), b.credentials()
	old.Token, fresh.Token = "old", "new"
	src := &given{set: old}
	p := newPool(t, src.source)
	b.stop()
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await(machine.OutcomeFail)
	src.change(fresh, nil) // nobody calls Refresh
	b.start()
	a.await(machine.OutcomeSuccess)
	if logins, refused := g.seen(); refused > 0 || len(logins) != 1 || logins[0] != "new" {
		t.Errorf("logged in with %q, refused %d times", logins, refused)
	}
}

func TestConnected(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	if p.Connected(node, "fleet") || (*Pool)(nil).Connected(node, "fleet") {
		t.Error("it is connected before anybody has asked for it")
	}
	keep(t, p, "fleet")
	if !p.Connected(node, "fleet") || p.Connected(node, "other") || p.Connected("n2.example", "fleet") {
		t.Error("it does not tell who is connected")
	}
}

// TestWhoAsksSeldomKeepsNoInbox has both kinds of connections ask, in vain and with an answer.
func TestWhoAsksSeldomKeepsNoInbox(t *testing.T) {
	b := startBroker(t)
	answers := b.client()
	if _, err := answers.Subscribe("answered", func(m *nats.Msg) { _ = m.Respond([]byte("yes")) }); err != nil {
		t.Fatal(err)
	}
	if err := answers.Flush(); err != nil {
		t.Fatal(err)
	}
	for seldom, kept := range map[bool]int{true: 0, false: 1} {
		c := b.credentials()
		c.Seldom, c.InboxPrefix = seldom, "_INBOX.n1=example"
		p := newPool(t, always(c))
		keep(t, p, "fleet")
		for range 3 {
			if r := check(t, p, nil, "request", "subject: answered"); r.Outcome != machine.OutcomeSuccess || r.Payload["body"] != "yes" {
				t.Errorf("seldom %t: %+v", seldom, r)
			}
			if r := check(t, p, nil, "request", "subject: nobody"); r.Outcome != outcomeUnanswered {
				t.Errorf("seldom %t: %+v", seldom, r)
			}
		}
		if n := wait(t, p, "fleet").NumSubscriptions(); n != kept {
			t.Errorf("seldom %t: %d subscriptions are kept, want %d", seldom, n, kept)
		}
	}
}
