package overlay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// region is a server elsewhere, with a leafnode listener for one user, as docs/overlay.md has it.
func region(t *testing.T) *server.Server {
	t.Helper()
	o := &server.Options{ServerName: "region", Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true}
	if err := o.ProcessConfigString(`accounts: {REGION: {}}`); err != nil {
		t.Fatal(err)
	}
	passes := &server.SubjectPermission{Allow: []string{"region.>"}}
	o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: -1, Users: []*server.User{{
		Username: "cells", Password: "secret", Account: o.Accounts[0], Permissions: &server.Permissions{Publish: passes, Subscribe: passes},
	}}}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the region does not start")
	}
	return s
}

// cellWith starts the broker of a cell of one whose configuration has more lines, and connects to FLEET as its host.
func cellWith(t *testing.T, name, more string) *nats.Conn {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	_, err := Init(InitOptions{Dir: dir, Cell: name, Now: time.Now(), Hosts: []HostOptions{{Name: name + "1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: 4222}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "hosts", name+"1", configFile)
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(text, more...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	folder, cfg, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen.Fleet = "127.0.0.1:0"
	real, err := clock.NewReal()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = real.Close() })
	h := &Host{cfg: HostConfig{Folder: folder, Config: cfg, Clock: real, Log: slog.New(slog.DiscardHandler)}}
	if err := h.openIdentity(); err != nil {
		t.Fatal(err)
	}
	h.broker.start = h.startBroker
	if err = h.broker.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.broker.close() })
	return connected(t, h)
}

func connected(t *testing.T, h *Host) *nats.Conn {
	t.Helper()
	pool := messaging.NewPool(h.credentials, h.cfg.Log)
	t.Cleanup(pool.Close)
	if err := pool.Keep(context.WithoutCancel(t.Context()), "test", fleetConnection); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc, err := pool.Wait(ctx, "test", fleetConnection)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// heard says something again and again until it is heard, for a minute at most.
func heard(t *testing.T, from *nats.Conn, subject string, at *nats.Subscription) {
	t.Helper()
	for range 600 {
		if err := from.Publish(subject, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := at.NextMsg(100 * time.Millisecond); err == nil {
			return
		}
	}
	t.Fatal("nothing was heard")
}

// Two cells that a region connects hear each other, but for what is not the region's; one that does not know its secret hears and says
// nothing.
func TestLeafnodesOfTwoCells(t *testing.T) {
	r := region(t)
	listens, err := r.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(secret string) string {
		return fmt.Sprintf("leafnodes:\n  - urls: [\"nats://cells:%s@127.0.0.1:%d\"]\n", secret, listens.LeafNode.Port)
	}
	lon, par, odd := cellWith(t, "lon", leaf("secret")), cellWith(t, "par", leaf("secret")), cellWith(t, "odd", leaf("guessed"))
	subscribed := func(nc *nats.Conn, subject string) *nats.Subscription {
		sub, err := nc.SubscribeSync(subject)
		if err == nil {
			err = nc.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		return sub
	}
	far, odds, outside := subscribed(par, "region.news.*"), subscribed(par, "region.odd"), subscribed(odd, "region.news.*")
	registers := subscribed(par, "$KV.>")
	heard(t, lon, "region.news.first", far)
	for subject, nc := range map[string]*nats.Conn{"region.odd": odd, "$KV.NODES.n1": lon} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	heard(t, lon, "region.news.later", far)
	if n := r.NumLeafNodes(); n != 2 {
		t.Errorf("%d leafnodes are connected", n)
	}
	for what, sub := range map[string]*nats.Subscription{
		"from a cell that is not known": odds, "at a cell that is not known": outside, "of another cell's register": registers,
	} {
		if n, _, err := sub.Pending(); n != 0 || err != nil {
			t.Errorf("%d messages %s: %v", n, what, err)
		}
	}
}

func TestACertificateAuthorityOfALeafnodeThatIsMissing(t *testing.T) {
	h := &Host{cfg: HostConfig{Folder: t.TempDir()}}
	if _, err := h.remote(Leafnode{URLs: []string{"tls://region"}, CA: "region.pem"}); err == nil {
		t.Error("it is used without its authority")
	}
}
