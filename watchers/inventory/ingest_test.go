package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

const patience = 2 * time.Minute

func formula(t testing.TB, text string) *watchers.Formula {
	t.Helper()
	f, err := watchers.CompileFormula(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// adapter runs an ingest watcher with a broker of its own; conn is a node's, js reads the stream.
func adapter(t testing.TB, always bool) (conn *nats.Conn, stream jetstream.Stream) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: always})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}
	if conn, err = nats.Connect(srv.ClientURL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if stream, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DISCOVERY", Subjects: []string{"discovery.>"}, MaxMsgsPerSubject: 5, PersistMode: jetstream.AsyncPersistMode}); err != nil {
		t.Fatal(err)
	}
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{srv.ClientURL()}}, nil
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(pool.Close)
	if err := pool.Keep(t.Context(), "host", "fleet"); err != nil {
		t.Fatal(err)
	}
	spec := &ingestSpec{
		Connection: "fleet", Subject: "node.*.out.inventory", Queue: "adapter", Pending: 65536, Window: 4096,
		Where: formula(t, `message.headers["Statecraft-Sender"] == replace(message.tokens[1], "=", ".")`),
		To:    formula(t, `"discovery." + message.tokens[1]`), Sender: formula(t, `replace(message.tokens[1], "=", ".")`),
	}
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan string, 16), make(chan struct{})
	go func() {
		defer close(ended)
		w := &ingest{spec: spec, services: Services{Pool: pool}}
		w.Listen(ctx, &watchers.Look{Identity: "host", Log: slog.New(slog.DiscardHandler)}, func(r watchers.Report) {
			select {
			case listening <- r.Outcome:
			default:
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case got := <-listening:
		if got != "success" {
			t.Fatalf("the adapter says %s", got)
		}
	case <-time.After(patience):
		t.Fatal("the adapter does not listen")
	}
	waitFor(t, func() bool { return srv.NumSubscriptions() > 0 && conn.Flush() == nil })
	return conn, stream
}

func waitFor(t testing.TB, holds func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("it does not come to that")
		}
	}
}

func inventoryOf(token, sender, body string) *nats.Msg {
	return &nats.Msg{Subject: "node." + token + ".out.inventory", Data: []byte(body), Header: nats.Header{"Statecraft-Sender": {sender}, DigestHeader: {"aa"}}}
}

func TestAdapterWritesWhatConsumersExpect(t *testing.T) {
	conn, stream := adapter(t, false)
	for _, m := range []*nats.Msg{inventoryOf("n1=example", "n2.example", `{"forged":1}`), inventoryOf("n1=example", "n1.example", `{"protocol":"p"}`)} {
		waitFor(t, func() bool { return conn.PublishMsg(m) == nil })
	}
	var got *jetstream.RawStreamMsg
	waitFor(t, func() bool {
		m, err := stream.GetLastMsgForSubject(t.Context(), "discovery.n1=example")
		got = m
		return err == nil
	})
	var doc map[string]any
	if err := json.Unmarshal(got.Data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc["data"] != `{"protocol":"p"}` || doc["sender"] != "n1.example" || doc["protocol"] != "choria:adapters:choria_streams:output:1" || doc["requestid"] == "" {
		t.Errorf("the stream has %s", got.Data)
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(doc["time"])); err != nil {
		t.Error(err)
	}
	if got.Header.Get(DigestHeader) != "aa" || got.Sequence != 1 {
		t.Errorf("message %d with the headers %v", got.Sequence, got.Header)
	}
}

func BenchmarkAdapter(b *testing.B) {
	for name, always := range map[string]bool{"buffered": false, "sync_always": true} {
		b.Run(name, func(b *testing.B) {
			conn, stream := adapter(b, always)
			body := fmt.Sprintf(`{"protocol":%q,"zcontent":%q}`, protocol, strings.Repeat("H4sIAAAA", 250))
			sent := uint64(0)
			b.ResetTimer()
			for range b.N {
				n := sent % 5000
				if err := conn.PublishMsg(inventoryOf(fmt.Sprintf("n%d=example", n), fmt.Sprintf("n%d.example", n), body)); err != nil {
					b.Fatal(err)
				}
				if sent++; sent%8192 == 0 {
					waitFor(b, stored(b, stream, sent))
				}
			}
			waitFor(b, stored(b, stream, sent))
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

func stored(b *testing.B, stream jetstream.Stream, n uint64) func() bool {
	return func() bool {
		info, err := stream.Info(b.Context())
		return err == nil && info.State.LastSeq >= n
	}
}
