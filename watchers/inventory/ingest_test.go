package inventory

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
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

func condition(t testing.TB, text string) *watchers.Condition {
	t.Helper()
	return &watchers.Condition{Formula: *formula(t, text)}
}

// adapterTest is an ingest watcher with a broker of its own.
type adapterTest struct {
	t      testing.TB
	broker *server.Server
	opts   server.Options
	spec   *ingestSpec
	reg    prometheus.Registerer
	conn   *nats.Conn // a node's
	js     jetstream.JetStream

	mu   sync.Mutex
	said []watchers.Report
	stop func()
}

func newAdapterTest(t testing.TB, always bool) *adapterTest {
	t.Helper()
	a := &adapterTest{
		t: t, opts: server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: always},
		spec: &ingestSpec{
			Connection: "fleet", Subject: watchers.PlainText("node.*.out.inventory"), Queue: watchers.PlainText("adapter"), Pending: 65536, Window: 4096,
			Where: condition(t, `message.headers["Statecraft-Sender"] == replace(message.tokens[1], "=", ".")`),
			To:    formula(t, `"discovery." + message.tokens[1]`), Sender: formula(t, `replace(message.tokens[1], "=", ".")`),
		},
	}
	a.start()
	t.Cleanup(func() { a.shutdown() })
	var err error
	if a.conn, err = nats.Connect(a.broker.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.conn.Close)
	if a.js, err = jetstream.New(a.conn); err != nil {
		t.Fatal(err)
	}
	return a
}

// anew has documents written anew of their fields, as overlay/adapter declares them.
func (a *adapterTest) anew() {
	a.t.Helper()
	text, err := os.ReadFile("../../manifests/overlay/adapter.yaml")
	if err != nil {
		a.t.Fatal(err)
	}
	manifest, problems := strict.Parse("adapter.yaml", text)
	if problems.HasErrors() {
		a.t.Fatal(problems)
	}
	n := manifest.Get("watchers").Items[0].Get("properties").Get("fields")
	var fields []watchers.Field
	problems = strict.Decode(n, &fields, strict.Options{})
	a.spec.fields, _ = watchers.CompileFields(fields, n)
	if len(problems) > 0 || !a.spec.fields.Declared() {
		a.t.Fatal("the manifest declares no fields: ", problems)
	}
}

// start starts the broker, by the port that it had.
func (a *adapterTest) start() {
	a.t.Helper()
	opts := a.opts
	var err error
	if a.broker, err = server.NewServer(&opts); err != nil {
		a.t.Fatal(err)
	}
	a.broker.Start()
	if !a.broker.ReadyForConnections(patience) {
		a.t.Fatal("the broker does not start")
	}
	a.opts.Port = a.broker.Addr().(*net.TCPAddr).Port
}

func (a *adapterTest) shutdown() { a.broker.Shutdown(); a.broker.WaitForShutdown() }

// stream makes the stream that messages go to.
func (a *adapterTest) stream(change ...func(c *jetstream.StreamConfig)) jetstream.Stream {
	a.t.Helper()
	c := jetstream.StreamConfig{Name: "DISCOVERY", Subjects: []string{"discovery.>"}, MaxMsgsPerSubject: 5, PersistMode: jetstream.AsyncPersistMode}
	for _, f := range change {
		f(&c)
	}
	stream, err := a.js.CreateStream(a.t.Context(), c)
	if err != nil {
		a.t.Fatal(err)
	}
	return stream
}

// listen runs the watcher until the test ends or stop is called.
func (a *adapterTest) listen() {
	a.t.Helper()
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{a.broker.ClientURL()}}, nil
	}, slog.New(slog.DiscardHandler))
	a.t.Cleanup(pool.Close)
	if err := pool.Keep(context.Background(), "host", "fleet"); err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w := &ingest{spec: a.spec, services: Services{Pool: pool}, metrics: newMetrics(a.reg)}
		w.Listen(ctx, &watchers.Look{Identity: "host", Log: slog.New(slog.DiscardHandler)}, func(r watchers.Report) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.said = append(a.said, r)
		})
	}()
	a.stop = sync.OnceFunc(func() { cancel(); <-ended })
	a.t.Cleanup(a.stop)
	waitFor(a.t, func() bool {
		return len(a.reports(machine.OutcomeSuccess)) > 0 && a.broker.NumSubscriptions() > 0 && a.conn.Flush() == nil
	})
}

// reports are those of an outcome.
func (a *adapterTest) reports(outcome string) (of []watchers.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.said {
		if r.Outcome == outcome {
			of = append(of, r)
		}
	}
	return of
}

// send publishes as a node does.
func (a *adapterTest) send(messages ...*nats.Msg) {
	a.t.Helper()
	for _, m := range messages {
		if err := a.conn.PublishMsg(m); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := a.conn.Flush(); err != nil {
		a.t.Fatal(err)
	}
}

// says stops the watcher, and holds what it says at last.
func (a *adapterTest) says(outcome, text string, want map[string]any) {
	a.t.Helper()
	a.stop()
	said := a.reports(outcome)
	if len(said) == 0 {
		a.t.Fatalf("it says nothing of %s: %+v", outcome, a.said)
	}
	last := said[len(said)-1]
	if diff := cmp.Diff(want, last.Payload); diff != "" || !strings.Contains(last.Message, text) {
		a.t.Errorf("it says %q, -want +got\n%s", last.Message, diff)
	}
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

// reconnected says whether a connection was lost and is there again: just after the broker's end it may not have noticed yet.
func reconnected(conn *nats.Conn) func() bool {
	return func() bool { return conn.Stats().Reconnects > 0 && conn.IsConnected() }
}

func inventoryOf(token, sender, body string) *nats.Msg {
	return &nats.Msg{Subject: "node." + token + ".out.inventory", Data: []byte(body), Header: nats.Header{"Statecraft-Sender": {sender}, DigestHeader: {"aa"}}}
}

func TestAdapterWritesWhatConsumersExpect(t *testing.T) {
	a := newAdapterTest(t, false)
	stream := a.stream()
	a.listen()
	a.send(inventoryOf("n1=example", "n2.example", `{"forged":1}`), inventoryOf("n1=example", "n1.example", `{"protocol":"p<&>"}`))
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
	if doc["data"] != `{"protocol":"p<&>"}` || doc["sender"] != "n1.example" || doc["protocol"] != "choria:adapters:choria_streams:output:1" || doc["requestid"] == "" {
		t.Errorf("the stream has %s", got.Data)
	}
	if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(doc["time"])); err != nil {
		t.Error(err)
	}
	if got.Header.Get(DigestHeader) != "aa" || got.Sequence != 1 {
		t.Errorf("message %d with the headers %v", got.Sequence, got.Header)
	}
	a.says(outcomeRefused, "1 messages were refused; the last: node.n1=example.out.inventory: where is false for it",
		map[string]any{"received": 2, "stored": 1, "refused": 1, "dropped": 0, "waiting": 0})
}

func BenchmarkAdapter(b *testing.B) {
	for name, tt := range map[string]struct{ always, answered, anew bool }{
		"buffered": {}, "buffered_anew": {anew: true}, "sync_always": {always: true}, "answered": {answered: true}, "answered_anew": {answered: true, anew: true},
	} {
		b.Run(name, func(b *testing.B) {
			a := newAdapterTest(b, tt.always)
			if tt.anew {
				a.anew()
			}
			stream := a.stream()
			a.listen()
			body := fmt.Sprintf(`{"protocol":%q,"zcontent":%q}`, protocol, strings.Repeat("H4sIAAAA", 250))
			var answers atomic.Uint64
			if _, err := a.conn.Subscribe("_INBOX.bench", func(*nats.Msg) { answers.Add(1) }); err != nil {
				b.Fatal(err)
			}
			all := func(n uint64) func() bool {
				return func() bool { return stored(b, stream, n)() && (!tt.answered || answers.Load() >= n) }
			}
			sent := uint64(0)
			b.ResetTimer()
			for range b.N {
				n := sent % 5000
				m := inventoryOf(fmt.Sprintf("n%d=example", n), fmt.Sprintf("n%d.example", n), body)
				if tt.answered {
					m.Reply = "_INBOX.bench"
				}
				if err := a.conn.PublishMsg(m); err != nil {
					b.Fatal(err)
				}
				if sent++; sent%8192 == 0 {
					waitFor(b, all(sent))
				}
			}
			waitFor(b, all(sent))
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

// BenchmarkOutlet is what an adapter does with one document before it sends it on.
func BenchmarkOutlet(b *testing.B) {
	for name, anew := range map[string]bool{"as it came": false, "anew": true} {
		b.Run(name, func(b *testing.B) {
			a := newAdapterTest(b, false)
			if anew {
				a.anew()
			}
			out := &outlet{spec: a.spec}
			m := inventoryOf("n1=example", "n1.example", fmt.Sprintf(`{"protocol":%q,"zcontent":%q}`, protocol, strings.Repeat("H4sIAAAA", 250)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := out.read(&watchers.Look{}, m, messageOf(m)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
