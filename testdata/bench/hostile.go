package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

const (
	hostileJoiners  = 3000
	hostileFacts    = 60 << 10 // bytes that each of them says of itself
	hostileSessions = 1000
	hostileSilent   = 10_000
	hostileGrowth   = 150 * 1024 // KiB that a host may grow by
	// hostileFor is how long an attack is kept up and the host watched.
	hostileFor = 60 * time.Second
	// hostileLead is by how much joiners come before the honest one.
	hostileLead = 5 * time.Second
)

// hostile measures what strangers and misbehaving members make of a host's memory, and how long an honest node takes to join meanwhile. Each
// attack has a cell of its own, with one node that was there before and notices nothing.
func (b *bench) hostile() (rows []row, err error) {
	for _, a := range []struct {
		what   string
		attack func(*attack) error
	}{
		{thousands(hostileJoiners) + " joiners with 60 KiB each", func(a *attack) error { return a.joiners(true) }},
		{thousands(hostileJoiners) + " joiners with 60 KiB each, as those of 0.1", func(a *attack) error { return a.joiners(false) }},
		{thousands(hostileSessions) + " sessions of one token", (*attack).sessions},
		{thousands(hostileSilent) + " silent connections at each listener in turn", (*attack).silent},
	} {
		got := &attack{what: a.what}
		if err := b.inCell(decider{}, func(c *cell) error { return got.on(c, a.attack) }); err != nil {
			return nil, fmt.Errorf("%s: %w", a.what, err)
		}
		rows = append(rows,
			row{What: "growth of a host, " + a.what, Value: got.growth, Unit: "KiB"}.atMost(hostileGrowth),
			row{What: "an honest node joins meanwhile, " + a.what, Value: got.joined, Unit: "s"})
	}
	return rows, nil
}

// attack is one attack on a cell, and what came of it.
type attack struct {
	*cell
	what   string
	member *identity.Store // of the node that was there before
	growth float64         // KiB
	joined float64         // seconds that an honest node took

	mu    sync.Mutex
	open  []interface{ Close() } // that the attack has open, until it is over
	ended bool
}

// on makes the attack while the host is watched and an honest node joins.
func (a *attack) on(c *cell, attack func(*attack) error) (err error) {
	a.cell = c
	if err := enoughFiles(hostileSilent / 2); err != nil {
		return err
	}
	node, err := a.settle()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.end()) }()
	before, err := c.look()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(c.ctx)
	most := make(chan float64, 1)
	go func() { most <- a.watch(ctx) }()
	defer stop()
	began := time.Now()
	if err := attack(a); err != nil {
		return err
	}
	defer a.over()
	honest, err := c.emulate("honest", 1, 3*time.Minute)
	if err != nil {
		return err
	}
	a.joined = honest.Seconds
	if err := waitFor(c.ctx, hostileFor-time.Since(began)); err != nil {
		return err
	}
	stop()
	a.growth = <-most - before.usage.resident
	now, err := c.counters()
	if err != nil {
		return err
	}
	if lost := now.sum("statecraft_broker_sessions", `listener="fleet"`, `purpose="node"`); lost < 2 {
		return fmt.Errorf("%g nodes are connected of two that did nothing wrong", lost)
	}
	return honest.end()
}

// settle lets the first node join, as a process with a state folder.
func (a *attack) settle() (*child, error) {
	dir := a.path("member")
	node, err := launch(a.command(a.ctx, "node", "run", "--join", a.path("made", "join.jwt"), "--state", dir, "--identity", "member.example"),
		"the member", a.path("member.log"))
	if err != nil {
		return nil, err
	}
	err = until(a.ctx, "the first node", func() (bool, error) { n, err := a.registered(); return n == 1, err })
	if err != nil {
		return nil, errors.Join(err, node.end())
	}
	a.member = identity.ViewStore(filepath.Join(dir, "identity"))
	return node, nil
}

// watch returns the most KiB that the host held until ctx ended.
func (a *attack) watch(ctx context.Context) (most float64) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if u, err := use(a.host.Process.Pid); err == nil {
			most = max(most, u.resident)
		}
		select {
		case <-ctx.Done():
			return most
		case <-again.C:
		}
	}
}

// keep holds something open until the attack is over.
func (a *attack) keep(c interface{ Close() }) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		c.Close()
		return
	}
	a.open = append(a.open, c)
}

func (a *attack) isOver() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended || a.ctx.Err() != nil
}

func (a *attack) over() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for _, c := range a.open {
		c.Close()
	}
	a.open = nil
}

// socket is a connection whose end nobody is told of.
type socket struct{ net.Conn }

func (s socket) Close() { _ = s.Conn.Close() }

// listeners are the addresses of the enrollment and the fleet listener, and the join token that says the first.
func (a *attack) listeners() (token string, enrollment, fleet string, err error) {
	text, err := os.ReadFile(a.path("made", "join.jwt"))
	if err != nil {
		return "", "", "", err
	}
	token = strings.TrimSpace(string(text))
	claims, err := identity.Inspect(token)
	if err != nil {
		return "", "", "", err
	}
	active, err := a.member.Active()
	if err != nil {
		return "", "", "", err
	}
	return token, claims.Join.URLs[0], active.URLs[0], nil
}

// silent opens connections that say nothing, half at each listener, as one process may have 20,000 files.
func (a *attack) silent() error {
	_, enrollment, fleet, err := a.listeners()
	if err != nil {
		return err
	}
	for i := range hostileSilent {
		u, err := url.Parse([]string{enrollment, fleet}[i%2])
		if err != nil {
			return err
		}
		conn, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
		if err != nil {
			return err
		}
		a.keep(socket{conn})
	}
	return nil
}

// sessions opens session after session of the member's token, with a hundred subscriptions each.
func (a *attack) sessions() error {
	_, _, fleet, err := a.listeners()
	if err != nil {
		return err
	}
	key, err := a.member.Key()
	if err != nil {
		return err
	}
	active, err := a.member.Active()
	if err != nil {
		return err
	}
	trust, err := identity.CATLS(active.CA)
	if err != nil {
		return err
	}
	for range hostileSessions {
		conn, err := nats.Connect(fleet, nats.Token(active.Token), nats.Secure(trust), nats.Nkey(key.Public().NKey(), func(nonce []byte) ([]byte, error) {
			return key.Sign(nonce), nil
		}), nats.NoReconnect(), nats.Timeout(30*time.Second), nats.CustomInboxPrefix("_INBOX.member=example"))
		if err != nil {
			return err
		}
		for i := range 100 {
			if _, err := conn.Subscribe(fmt.Sprintf("node.member=example.in.x%d", i), func(*nats.Msg) {}); err != nil {
				break // ended for a newer one
			}
		}
		a.keep(conn)
	}
	return nil
}

// joiners come with a key each and one join token, introduce themselves again and again, say much of themselves, and prove nothing. First is
// whether they say that they prove their key first, as nodes of before did not.
func (a *attack) joiners(first bool) error {
	token, enrollment, _, err := a.listeners()
	if err != nil {
		return err
	}
	claims, err := identity.Inspect(token)
	if err != nil {
		return err
	}
	u, err := url.Parse(enrollment)
	if err != nil {
		return err
	}
	trust, err := identity.PinnedTLS(claims.Join.Pins, u.Hostname())
	if err != nil {
		return err
	}
	facts := map[string]string{}
	for i := range hostileFacts / 64 {
		facts[fmt.Sprintf("fact_%06d", i)] = strings.Repeat("x", 45)
	}
	// They come at once and wait for their turn, as the honest one does.
	for i := range hostileJoiners {
		name := fmt.Sprintf("hostile%d.example", i)
		go func() {
			for !a.isOver() {
				if conn, hello, err := joiner(name, token, enrollment, nats.Secure(trust), facts, first); err == nil {
					a.keep(conn)
					a.insist(conn, hello)
				}
			}
		}()
	}
	return waitFor(a.ctx, hostileLead)
}

// insist introduces a joiner until its connection is closed, by either side.
func (a *attack) insist(conn *nats.Conn, hello *nats.Msg) {
	for !conn.IsClosed() {
		if conn.PublishMsg(hello) != nil || waitFor(a.ctx, time.Second) != nil {
			return
		}
	}
}

// joiner connects one, which answers when it is asked for its inventory.
func joiner(name, token, address string, trust nats.Option, facts map[string]string, first bool) (*nats.Conn, *nats.Msg, error) {
	key, err := identity.NewKey()
	if err != nil {
		return nil, nil, err
	}
	public := key.Public().String()
	document, err := json.Marshal(map[string]any{"identity": name, "public_key": public, "join": token, "proof_first": first})
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	hello, err := (&identity.Signer{Key: key}).Sign(identity.Claims{
		Purpose: "hello", PublicKey: public, Document: document, IssuedAt: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(map[string]any{"token": hello})
	if err != nil {
		return nil, nil, err
	}
	conn, err := nats.Connect(address, nats.Token(token), trust, nats.Nkey(key.Public().NKey(), func(nonce []byte) ([]byte, error) {
		return key.Sign(nonce), nil
	}), nats.NoReconnect(), nats.Timeout(time.Minute), nats.CustomInboxPrefix("_INBOX."+public))
	if err != nil {
		return nil, nil, err
	}
	inventory, err := json.Marshal(map[string]any{"identity": name, "facts": facts})
	if err != nil {
		return nil, nil, err
	}
	_, err = conn.Subscribe("enroll."+public+".in.inventory", func(m *nats.Msg) { _ = m.Respond(inventory) })
	message := nats.NewMsg("enroll." + public + ".out.hello")
	message.Data, message.Reply = body, "_INBOX."+public+".x"
	return conn, message, err
}
