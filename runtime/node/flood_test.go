package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// flood publishes to every subject that a node may publish to, again and again, until ctx ends or the connection does. It returns how many
// messages it has sent.
func flood(ctx context.Context, conn *nats.Conn, id string) int64 {
	token := strings.ReplaceAll(id, ".", "=")
	event := func(kind string) []byte {
		text, _ := json.Marshal(map[string]any{
			"specversion": "1.0", "id": kind, "type": kind, "source": "flood", "subject": id, "datacontenttype": "application/json",
			"data": map[string]any{"identity": id, "text": strings.Repeat("x", 8000)},
		})
		return text
	}
	messages := map[string][]byte{
		"event.lifecycle.startup.server":     event("io.choria.lifecycle.v1.startup"),
		"event.machine.transition":           event("io.choria.machine.v1.transition"),
		"event.machine.watcher.timer.state":  event("io.choria.machine.watcher.timer.v1.state"),
		"inventory":                          bytes.Repeat([]byte("x"), 60_000),
		"spec":                               []byte(`{"channels": ["default"], "root": 0}`),
		"bundle":                             []byte(`{"name": "x", "bucket": "BUNDLES", "offset": 0, "length": 262144}`),
		"confirm":                            []byte(`{"proof": "made up"}`),
		"renew":                              []byte(`{"token_id": "made up", "renewal": "made up", "public_key": "made up"}`),
		"event.lifecycle.shutdown.server":    bytes.Repeat([]byte("x"), 900_000),
		"something.that.nobody.listens.to.x": bytes.Repeat([]byte("x"), 100),
	}
	sent := int64(0)
	for round := 0; ctx.Err() == nil; round++ {
		for suffix, body := range messages {
			m := &nats.Msg{Subject: "node." + token + ".out." + suffix, Reply: "_INBOX." + token + ".flood", Data: body}
			many := 20
			if len(body) > 100_000 {
				many = 1
			}
			for range many {
				if conn.PublishMsg(m) != nil {
					return sent
				}
				sent++
			}
		}
		turn := fmt.Appendf(nil, `{"governor": "made_up_%d", "name": "made_up_%d"}`, round, round)
		if conn.PublishMsg(&nats.Msg{Subject: "node." + token + ".out.turn", Reply: "_INBOX." + token + ".flood", Data: turn}) != nil ||
			conn.FlushTimeout(patience) != nil {
			return sent
		}
	}
	return sent
}

// TestG45AFlooderCostsNobodyElse has a node flood every subject that it may publish to. Meanwhile another joins, a third renews its token, an
// operator publishes a machine, which nodes run, and what honest nodes tell is stored; then the flooder is revoked, and its sessions end at once.
func TestG45AFlooderCostsNobodyElse(t *testing.T) {
	c := makeCell(t, func(o *overlay.InitOptions) { shortLived(t, "30s")(o) })
	smallStore(c)
	c.run()
	s := openShop(t, c)
	renews := newMember(t, "n2.example", t.TempDir(), c.join, nil)
	renews.becomes("active")
	flooder := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	flooder.becomes("active")
	given, err := flooder.store.Active()
	if err != nil {
		t.Fatal(err)
	}
	key, err := flooder.store.Key()
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := raw(t, given.URLs, given.Token, key, "_INBOX.n1=example", given.CA, nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sent atomic.Int64
	var flooding sync.WaitGroup
	flooding.Go(func() { sent.Store(flood(ctx, conn, "n1.example")) })
	newMember(t, "n3.example", t.TempDir(), c.join, nil).becomes("active")
	s.publish(s.stock(web("1.0.0")))
	renews.runs("web", "1.0.0")
	eventually(t, "another renews its token", func() bool { return renews.expires().After(time.Now().Add(time.Minute)) })
	js, err := jetstream.New(c.operator().Conn)
	if err != nil {
		t.Fatal(err)
	}
	startupsOf(t, js, "n3.example")
	began := time.Now()
	c.revoke("n1=example")
	eventually(t, "the session of the flooder ends", func() bool { return !conn.IsConnected() })
	within(t, "the end of the session", 2*time.Second, began)
	stop()
	flooding.Wait()
	t.Logf("the flooder has sent %d messages", sent.Load())
	if sent.Load() < 5000 {
		t.Errorf("the flooder has sent %d messages, which is no flood", sent.Load())
	}
	if n := bytesOf(t, js, "EVENTS"); n > 67108864*15/100 { // half of the share
		t.Errorf("EVENTS has %d bytes", n)
	}
	if n := bytesOf(t, js, "KV_GOVERNORS"); n > 67108864/200 {
		t.Errorf("GOVERNORS has %d bytes", n)
	}
}

// startupsOf waits until the stream of events has the startup of a node.
func startupsOf(t testing.TB, js jetstream.JetStream, id string) {
	t.Helper()
	events, err := js.OrderedConsumer(t.Context(), "EVENTS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"choria.lifecycle.event.startup.*"}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := events.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			t.Fatalf("the startup of %s is not stored: %v", id, err)
		}
		if strings.Contains(string(m.Data()), `"identity":"`+id+`"`) {
			return
		}
	}
}

func bytesOf(t testing.TB, js jetstream.JetStream, stream string) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Bytes
}

// TestG45AJoinerFillsNothing has somebody with nothing but a join token say that it has started, as often and as long as the broker lets it. Little
// of it is stored, and a node joins.
func TestG45AJoinerFillsNothing(t *testing.T) {
	c := makeCell(t, nil)
	smallStore(c)
	c.run()
	eventually(t, "the streams are there", func() bool { return stateOf(c.host.Host(), "streams") == "steady" })
	js, err := jetstream.New(c.operator().Conn)
	if err != nil {
		t.Fatal(err)
	}
	joiner, _, key := joining(t, c.join)
	id := key.Public().String()
	subject := "enroll." + id + ".out.event.lifecycle.startup.provision_mode_server"
	small := lifecycleEvent(t, id, "provision_mode_server")
	large := bytes.Replace(small, []byte(`"raw"`), []byte(`"`+strings.Repeat("x", 500_000)+`"`), 1)
	for i := range 2000 {
		body := small
		if i%20 == 0 {
			body = large
		}
		if err := joiner.Publish(subject, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := joiner.FlushTimeout(patience); err != nil {
		t.Fatal(err)
	}
	newMember(t, "n1.example", t.TempDir(), c.join, nil).becomes("active")
	startupsOf(t, js, "n1.example")
	if n := bytesOf(t, js, "EVENTS"); n > 100_000 {
		t.Errorf("EVENTS has %d bytes", n)
	}
}
