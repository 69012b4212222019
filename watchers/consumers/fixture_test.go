package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

const (
	patience = 30 * time.Second
	quietly  = 300 * time.Millisecond
	alice    = "UALICE"
	bob      = "UBOB"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is a server with the streams EVENTS and OTHER, and a gateway that serves EVENTS.
type scene struct {
	t   testing.TB
	srv *server.Server
	js  jetstream.JetStream // without the gateway
	nc  *nats.Conn
}

// newScene starts it. Properties are added to the watcher's.
func newScene(t testing.TB, properties string) *scene {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamDomain: "c1", FeatureFlags: map[string]bool{server.FeatureFlagJsAckFormatV2: true}})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the server does not listen")
	}
	s := &scene{t: t, srv: srv}
	if err := srv.GlobalAccount().AddMapping(AckMapping("c1", srv.GlobalAccount().Name, "EVENTS")); err != nil {
		t.Fatal(err)
	}
	s.nc = s.connect("host")
	if s.js, err = jetstream.New(s.nc); err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]string{"EVENTS": "event.>", "OTHER": "other.>"} {
		if _, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	s.listen(properties)
	return s
}

// listen runs a gateway until the test ends.
func (s *scene) listen(properties string) {
	s.t.Helper()
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{s.srv.ClientURL()}, InboxPrefix: "_INBOX.UHOST"}, nil
	}, slog.New(slog.DiscardHandler))
	s.t.Cleanup(pool.Close)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	if err := pool.Keep(ctx, "host", "fleet"); err != nil {
		s.t.Fatal(err)
	}
	node, problems := strict.Parse("properties", []byte("streams: [EVENTS]\n"+properties))
	if problems.HasErrors() {
		s.t.Fatal(problems)
	}
	prepared, problems := Types(Services{Pool: pool})[0].Prepare(&machine.WatcherSpec{Strict: true, Properties: node})
	if problems.HasErrors() {
		s.t.Fatal(problems)
	}
	serving, ended := make(chan watchers.Report, 10), make(chan struct{})
	go func() {
		defer close(ended)
		look := &watchers.Look{Machine: "m", Watcher: "w", Identity: "host", Log: slog.New(slog.DiscardHandler)}
		prepared.New().(watchers.Listener).Listen(ctx, look, func(r watchers.Report) { serving <- r })
	}()
	s.t.Cleanup(func() {
		cancel()
		<-ended
	})
	if r := <-serving; r.Outcome != machine.OutcomeSuccess {
		s.t.Fatalf("the gateway: %+v", r)
	}
}

func (s *scene) connect(who string) *nats.Conn {
	s.t.Helper()
	gone := make(chan struct{})
	nc, err := nats.Connect(s.srv.ClientURL(), nats.CustomInboxPrefix("_INBOX."+who), nats.ClosedHandler(func(*nats.Conn) { close(gone) }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		nc.Close()
		<-gone
	})
	return nc
}

// client is JetStream as a client sees it.
func (s *scene) client(who string) jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.NewWithAPIPrefix(s.connect(who), prefix(who))
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

func prefix(who string) string { return "client." + who + ".out.consumers" }

// publish stores events.
func (s *scene) publish(n int) {
	s.t.Helper()
	for i := range n {
		if _, err := s.js.Publish(s.t.Context(), fmt.Sprintf("event.%d", i%10), fmt.Appendf(nil, "event %d", i)); err != nil {
			s.t.Fatal(err)
		}
	}
}

func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); !holds(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
