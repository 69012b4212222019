package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// H71: TestH71AHostThatIsKilledDuringAnApproval is killed with -9 at several moments after an approval was asked for, before and after it is answered.
// The record has that approval or none, whole; what was answered is kept; and the same question works once the host is back.
func TestH71AHostThatIsKilledDuringAnApproval(t *testing.T) {
	c := newCell(t, 1)
	c.start(hostName(0))
	client, err := overlay.OpenClient(filepath.Join(c.dir, "operator"))
	if err != nil {
		t.Fatal(err)
	}
	connect := func() *overlay.Connection {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		conn, err := client.Connect(ctx, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	fields, err := json.Marshal(nodeFields("n1.example", "active"))
	if err != nil {
		t.Fatal(err)
	}
	js := c.operator()
	eventually(t, clusterWithin, func(ctx context.Context) error {
		nodes, err := js.KeyValue(ctx, "NODES")
		if err == nil {
			_, err = nodes.Put(ctx, "n1=example", fields)
		}
		return err
	})
	asks := func(conn *overlay.Connection, key string, timeout time.Duration) error { // to approve a key, or none
		question := fmt.Appendf(nil, `{"node": "n1=example", "key": %q, "withdraw": %t, "by": "operator"}`, key, key == "")
		m, err := conn.Request(broker.ServiceSubject(conn.Opts.Nkey, "approve"), question, timeout)
		if err == nil && m.Header.Get("Nats-Service-Error-Code") != "" {
			err = errors.New(m.Header.Get("Nats-Service-Error"))
		}
		return err
	}
	key := func(i int) string { return strings.Repeat(fmt.Sprintf("%02x", i+1), 32) }
	works := func(key string) {
		eventually(t, clusterWithin, func(context.Context) error {
			conn := connect()
			defer conn.Close()
			return asks(conn, key, time.Second)
		})
	}
	for i, pause := range []time.Duration{500 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		works("")
		asked, conn := key(i), connect()
		answered := make(chan error, 1)
		go func() { answered <- asks(conn, asked, time.Second) }()
		select {
		case <-time.After(pause):
		case <-t.Context().Done():
		}
		c.hosts[hostName(0)].end(syscall.SIGKILL)
		kept := <-answered
		conn.Close()
		c.start(hostName(0))
		approved := approvedKey(t, js)
		if approved != asked && (kept == nil || approved != "") {
			t.Errorf("killed after %s: %q is approved, none was, and for %s the answer was %v", pause, approved, asked, kept)
		}
		t.Logf("killed after %s: answered %t, written %t", pause, kept == nil, approved == asked)
		works(asked)
	}
}

// approvedKey is whom the record of n1.example approves, which is whole; empty for nobody.
func approvedKey(t *testing.T, js jetstream.JetStream) (key string) {
	t.Helper()
	eventually(t, clusterWithin, func(ctx context.Context) error {
		nodes, err := js.KeyValue(ctx, "NODES")
		if err != nil {
			return err
		}
		entry, err := nodes.Get(ctx, "n1=example")
		if err != nil {
			return err
		}
		var record struct {
			Approved struct{ Key, By string }
			State    string
		}
		if err := json.Unmarshal(entry.Value(), &record); err != nil || record.State != "active" || (record.Approved.By == "operator") != (record.Approved.Key != "") {
			t.Fatalf("the record is %s: %v", entry.Value(), err)
		}
		key = record.Approved.Key
		return nil
	})
	return key
}
