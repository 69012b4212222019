package broker

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// strangers is how many connections of strangers the tests open: more than a listener with few places has room for.
const strangers = 1000

// fewPlaces leaves a listener fewer places than strangers come.
func fewPlaces(c *Config) { c.Limits.Connections, c.Limits.EnrollmentConnections = 300, 300 }

// strange opens connections that are no members', lets each do what it does, and closes them at the end of the test.
func strange(t *testing.T, url string, n int, does func(net.Conn)) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "tls://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if does != nil {
			go does(conn)
		}
	}
}

// TestH73SilentConnectionsKeepNobodyOut opens more connections than there are places, which say nothing. On both listeners others come in, and
// a member that was there notices nothing.
func TestH73SilentConnectionsKeepNobodyOut(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, fewPlaces)
	member := o.connect(t, b.ClientURL(), o.node(t, "member"))
	for url, l := range map[string]login{b.ClientURL(): o.node(t, "n1"), b.EnrollmentURL(): o.join(t)} {
		strange(t, url, strangers, nil)
		await(t, "an honest one comes in", func() bool {
			conn, err := o.dial(t, url, l)
			return err == nil && conn.IsConnected()
		})
	}
	if err := member.FlushTimeout(patience); err != nil || member.Reconnects > 0 {
		t.Errorf("the member: %v", err)
	}
}

// TestH73SlowHandshakesKeepNobodyOut is the same with connections that begin their handshake and do not end it.
func TestH73SlowHandshakesKeepNobodyOut(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, fewPlaces)
	strange(t, b.ClientURL(), strangers, func(conn net.Conn) {
		if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
			_ = tls.Client(mute{conn}, &tls.Config{InsecureSkipVerify: true}).Handshake()
		}
	})
	await(t, "an honest one comes in", func() bool {
		conn, err := o.dial(t, b.ClientURL(), o.node(t, "n1"))
		return err == nil && conn.IsConnected()
	})
}

// mute is a connection that hears no answer.
type mute struct{ net.Conn }

func (m mute) Read([]byte) (int, error) { return 0, io.EOF }

// TestH73OneTokenHasFewSessions lets a node, and one that joins, log in again and again. The newest session stays, and few others.
func TestH73OneTokenHasFewSessions(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	for name, at := range map[string]struct {
		h *half
		l login
	}{"a node": {b.fleet, o.node(t, "n1")}, "one that joins": {b.enrollment, o.join(t)}} {
		var all []*nats.Conn
		for range 20 {
			all = append(all, o.connect(t, b.url(at.h.server.Addr()), at.l))
		}
		most := b.cfg.Limits.quota(at.l.claims.Purpose, false).Sessions
		await(t, name+" has few sessions", func() bool {
			open := 0
			for _, c := range all {
				if c.IsConnected() {
					open++
				}
			}
			return open == most
		})
		if newest := all[len(all)-1]; newest.FlushTimeout(patience) != nil {
			t.Errorf("%s: the newest session has ended", name)
		}
	}
}

// TestH73AClientTooManyIsRefused leaves the sessions of a client that there are as they are.
func TestH73AClientTooManyIsRefused(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, func(c *Config) { c.Limits.Clients.Sessions = 2 })
	l := o.client(t, "operator", "admin")
	first, second := o.connect(t, b.ClientURL(), l), o.connect(t, b.ClientURL(), l)
	if _, err := o.dial(t, b.ClientURL(), l); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("the third session: %v", err)
	}
	for _, c := range []*nats.Conn{first, second} {
		if err := c.FlushTimeout(patience); err != nil {
			t.Error(err)
		}
	}
	first.Close()
	await(t, "there is room for another", func() bool {
		_, err := o.dial(t, b.ClientURL(), l)
		return err == nil
	})
}

// TestH73ASessionHasFewSubscriptions lets nodes and those who join subscribe without end.
func TestH73ASessionHasFewSubscriptions(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	for name, at := range map[string]struct {
		h *half
		l login
	}{"a node": {b.fleet, o.node(t, "n1")}, "one that joins": {b.enrollment, o.join(t)}} {
		told := make(chan error, 1)
		conn := o.connect(t, b.url(at.h.server.Addr()), at.l, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case told <- err:
			default:
			}
		}))
		most := b.cfg.Limits.quota(at.l.claims.Purpose, false).Subscriptions
		for i := range most + 100 {
			if _, err := conn.Subscribe(fmt.Sprintf("%s.x%d", at.l.inbox(), i), func(*nats.Msg) {}); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case err := <-told:
			if !strings.Contains(err.Error(), "maximum subscriptions exceeded") {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(patience):
			t.Errorf("%s may subscribe as often as it likes", name)
		}
		open, err := at.h.server.Connz(&server.ConnzOptions{Sort: server.BySubs, Limit: 1})
		if err != nil || open.Conns[0].NumSubs > uint32(most) {
			t.Errorf("%s: %v, %v", name, open.Conns[0].NumSubs, err)
		}
	}
}

// TestH73WhoDoesNotReadIsCut sends a node more than may wait for it, which it does not read.
func TestH73WhoDoesNotReadIsCut(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	subscriptions := b.fleet.server.NumSubscriptions()
	node, l := o.open(t, b.ClientURL()), o.node(t, "deaf")
	if !node.connect(shown(l, node.nonce)) {
		t.Fatal("the node is refused")
	}
	if _, err := io.WriteString(node.conn, "SUB node.deaf.in.> 1\r\n"); err != nil {
		t.Fatal(err)
	}
	await(t, "the node has subscribed", func() bool { return b.fleet.server.NumSubscriptions() > subscriptions })
	sender := o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	before := b.fleet.server.NumSlowConsumers()
	for range 24 << 20 / (256 << 10) {
		if err := sender.Publish("node.deaf.in.much", make([]byte, 256<<10)); err != nil {
			t.Fatal(err)
		}
		if err := sender.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
		waits, err := b.fleet.server.Connz(&server.ConnzOptions{Sort: server.ByPending, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if most := 9 << 20; waits.Conns[0].Pending > most {
			t.Fatalf("%d bytes wait for a node that does not read", waits.Conns[0].Pending)
		}
	}
	await(t, "the node is cut off", func() bool { return b.fleet.server.NumSlowConsumers() > before })
}

// TestH73AnEndedTokenLeavesOthersTheirRenewal opens one session after the other with a token that has ended; another node renews.
func TestH73AnEndedTokenLeavesOthersTheirRenewal(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, func(c *Config) { c.Limits.RenewRate, c.Limits.RenewBurst = 0.001, 10 })
	greedy, honest := o.node(t, "greedy", expiring(time.Now().Add(-time.Hour))), o.node(t, "honest", expiring(time.Now().Add(-time.Hour)))
	in := 0
	for range 30 {
		if _, err := o.dial(t, b.ClientURL(), greedy); err == nil {
			in++
		}
	}
	if in == 0 || in > b.cfg.Limits.RenewBurst/2 {
		t.Errorf("one token had %d of %d sessions that are for all", in, b.cfg.Limits.RenewBurst)
	}
	if _, err := o.dial(t, b.ClientURL(), honest); err != nil {
		t.Errorf("another node: %v", err)
	}
}

// TestH73WhatAKeyMayTakeIsBoundedAltogether multiplies the limits of one key: an answer goes to each subscription that its inbox matches, and waits in each
// session that does not read. With 64 sessions of 10,000 subscriptions, a client that may only look had a host answer nobody else for ten seconds.
func TestH73WhatAKeyMayTakeIsBoundedAltogether(t *testing.T) {
	l := DefaultLimits()
	for name, q := range map[string]Quota{"nodes": l.Nodes, "joiners": l.Joiners, "clients": l.Clients, "consumers": l.Consumers} {
		if copies := q.Sessions * q.Subscriptions; copies > 6400 {
			t.Errorf("%s: an answer goes out %d times", name, copies)
		}
		if waits := int64(q.Sessions) * q.Pending; waits > 512<<20 {
			t.Errorf("%s: %d MiB wait for one key", name, waits>>20)
		}
	}
}
