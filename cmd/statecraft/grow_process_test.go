package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// aloneWithNodes starts a cell of one that nodes have joined, ends it and adds hosts to it. It returns who the nodes are, by identity.
func aloneWithNodes(t *testing.T, prefix string, nodes, events int) (*cluster, map[string]string) {
	t.Helper()
	c := newCell(t, 1)
	c.start(hostName(0))
	c.watched = c.operator()
	c.replicated(1)
	c.arrived(c.burst(prefix, nodes, 0), prefix)
	for i := range events {
		if _, err := c.watched.Publish(t.Context(), manyEvents, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	before, err := c.nodes(t.Context(), prefix)
	if err != nil || len(before) != nodes {
		t.Fatalf("%d nodes have joined: %v", len(before), err)
	}
	c.hosts[hostName(0)].end(syscall.SIGTERM)
	c.init(clusterHosts)
	return c, before
}

// joined waits until a host serves.
func (c *cluster) joined(host int, state string) {
	c.t.Helper()
	dir := filepath.Join(c.dir, "hosts", hostName(host), "state")
	eventually(c.t, clusterWithin, func(context.Context) error {
		p := statecraftFails(c.t, "states", "join", "--state", dir, "--until", state)
		if p != "" {
			return fmt.Errorf("host %s: %s", hostName(host), p)
		}
		return nil
	})
}

// statecraftFails runs the program and returns what it said where it failed.
func statecraftFails(t *testing.T, args ...string) string {
	t.Helper()
	var out, err strings.Builder
	if code := run(args, strings.NewReader(""), &out, &err); code != exitOK {
		return strings.TrimSpace(err.String())
	}
	return ""
}

// TestH67StrangersTakeNoIdentityWhileACellGrows: the hosts that come find an empty register, and strangers come with the names of nodes that
// have joined.
func TestH67StrangersTakeNoIdentityWhileACellGrows(t *testing.T) {
	const nodes = 5
	c, before := aloneWithNodes(t, "n", nodes, 0)
	c.start(hostName(1))
	c.start(hostName(2))
	c.joined(1, "waiting")
	c.joined(2, "waiting")
	strangers := c.burst("n", nodes, 0)
	time.Sleep(10 * time.Second) // in which they had joined
	for i := range 2 {
		c.joined(1+i, "waiting")
	}
	c.start(hostName(0))
	c.until("any host may be stopped", func(r fleetHostsResult, code int) bool { return code == exitOK && len(r.Hosts) == clusterHosts })
	c.watched = c.operator()
	list := c.watched.ListStreams(t.Context())
	for s := range list.Info() {
		if lacks := replicasLack(s, clusterHosts); lacks != "" {
			t.Errorf("fleet hosts ends with 0, and of stream %s it holds: %s", s.Config.Name, lacks)
		}
	}
	if err := list.Err(); err != nil {
		t.Error(err)
	}
	for i := range clusterHosts {
		c.joined(i, "member")
	}
	eventually(t, clusterWithin, func(ctx context.Context) error {
		after, err := c.nodes(ctx, "n")
		if err != nil {
			return err
		}
		for id, key := range before {
			if after[id] != key {
				t.Fatalf("%s belongs to %s, and belonged to %s", id, after[id], key)
			}
		}
		return nil
	})
	_ = strangers.Process.Kill()
	_ = strangers.Wait()
	after, err := c.nodes(t.Context(), "n")
	if err != nil || len(after) != nodes {
		t.Errorf("the register has %d nodes: %v", len(after), err)
	}
	for id, key := range before {
		if after[id] != key {
			t.Errorf("%s belongs to %s, and belonged to %s", id, after[id], key)
		}
	}
	c.arrived(c.burst("three", 10, 0), "three")
}

// TestH67AHostThatIsKilledWhileItCopiesGoesOn is killed at seven moments.
func TestH67AHostThatIsKilledWhileItCopiesGoesOn(t *testing.T) {
	const nodes, events, kills = 40, 8_000, 7
	c, before := aloneWithNodes(t, "n", nodes, events)
	c.start(hostName(1))
	c.start(hostName(2))
	copied := uint64(0)
	for i := range kills {
		c.start(hostName(0))
		if c.watched == nil { // hosts that wait do not know who is revoked, and let nobody in
			c.watched = c.operator()
		}
		var now uint64
		eventually(t, clusterWithin, func(ctx context.Context) error {
			s, err := c.watched.Stream(ctx, "EVENTS")
			if err != nil {
				return err
			}
			if now = s.CachedInfo().State.Msgs; now <= copied && now < events {
				return fmt.Errorf("%d events are copied", now)
			}
			return nil
		})
		copied = now
		time.Sleep(rand.N(200 * time.Millisecond))
		c.hosts[hostName(0)].end(syscall.SIGKILL)
		t.Logf("kill %d at %d events", i+1, now)
	}
	c.start(hostName(0))
	for i := range clusterHosts {
		c.joined(i, "member")
	}
	c.watched = c.operator()
	c.replicated(clusterHosts)
	after, err := c.nodes(t.Context(), "n")
	if err != nil || len(after) != nodes {
		t.Errorf("the register has %d nodes: %v", len(after), err)
	}
	for id, key := range before {
		if after[id] != key {
			t.Errorf("%s belongs to %q, and belonged to %s", id, after[id], key)
		}
	}
	if _, err := os.Stat(filepath.Join(c.dir, "hosts", hostName(0), "streams.before-cluster")); err != nil {
		t.Error(err)
	}
	if counts, err := c.provisioned(t.Context(), "n"); err != nil || len(counts) != nodes {
		t.Errorf("the events of %d nodes are there: %v", len(counts), err)
	}
	inOrder(t, c.watched, events)
}

// inOrder holds that the events of the test are there once each, in their order.
func inOrder(t *testing.T, js jetstream.JetStream, want int) {
	t.Helper()
	s, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		var m *jetstream.RawStreamMsg
		eventually(t, clusterWithin, func(ctx context.Context) (err error) { // its leader may change
			m, err = s.GetMsg(ctx, seq)
			return err
		})
		if m.Subject != manyEvents {
			continue
		}
		var n int
		if err := json.Unmarshal(m.Data, &n); err != nil || n != next {
			t.Fatalf("event %d is %s, %s", next, m.Data, m.Header)
		}
		next++
	}
	if next != want {
		t.Errorf("%d events are there of %d", next, want)
	}
}

// manyEvents is the subject of the events of the test.
const manyEvents = "choria.lifecycle.event.test.many"
