package runtime_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/all"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// broker is a broker with JetStream, and a connection to it.
func broker(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the broker does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// breakages are the ways in which what a listener has started panics, each as a watcher does it.
func breakages(nc *nats.Conn) map[string]func(ctx context.Context) error {
	says := func() error { return nc.Publish("h61", []byte("now")) }
	return map[string]func(ctx context.Context) error{
		"itself": func(context.Context) error { panic("boom") },
		"a goroutine of its own": func(ctx context.Context) error {
			supervise.Go(ctx, func() { panic("boom") })
			return nil
		},
		"a timer": func(ctx context.Context) error {
			time.AfterFunc(time.Millisecond, func() {
				defer supervise.Recover(ctx)
				panic("boom")
			})
			return nil
		},
		"a subscription": func(ctx context.Context) error {
			_, err := nc.Subscribe("h61", func(*nats.Msg) {
				defer supervise.Recover(ctx)
				panic("boom")
			})
			return joined(err, says())
		},
		"a micro handler": func(ctx context.Context) error {
			s, err := micro.AddService(nc, micro.Config{Name: "h61", Version: "0.0.0"})
			if err != nil {
				return err
			}
			err = s.AddEndpoint("h61", micro.HandlerFunc(func(micro.Request) {
				defer supervise.Recover(ctx)
				panic("boom")
			}), micro.WithEndpointSubject("h61"))
			return joined(err, nc.PublishRequest("h61", "_INBOX.nobody", nil))
		},
		"a consumer": func(ctx context.Context) error {
			js, err := jetstream.New(nc)
			if err != nil {
				return err
			}
			stream, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "H61", Subjects: []string{"h61"}})
			if err != nil {
				return err
			}
			consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
			if err != nil {
				return err
			}
			_, err = consumer.Consume(func(jetstream.Msg) {
				defer supervise.Recover(ctx)
				panic("boom")
			})
			return joined(err, says())
		},
		"a flight that others share": func(ctx context.Context) error {
			var once sync.Once
			for range 3 {
				supervise.Go(ctx, func() { once.Do(func() { panic("boom") }) })
			}
			return nil
		},
	}
}

// TestH61APanicOfAListenerEndsOnlyItsActivation has what a listener started panic, in every way. The activation ends with the outcome panic
// and the stack is logged; the listener starts again; a machine beside it notices nothing.
func TestH61APanicOfAListenerEndsOnlyItsActivation(t *testing.T) {
	nc := broker(t)
	for name, breaks := range breakages(nc) {
		t.Run(name, func(t *testing.T) {
			fakes := newFakes()
			var broken, steady atomic.Int64
			fakes.add("breaks", &watchers.Prepared{New: func() watchers.Watcher {
				return listener(func(ctx context.Context, _ *watchers.Look, _ func(watchers.Report)) watchers.Report {
					if broken.Add(1) == 1 {
						if err := breaks(ctx); err != nil {
							return watchers.Failure(err.Error())
						}
					}
					<-ctx.Done()
					return watchers.Report{}
				})
			}})
			fakes.add("steady", &watchers.Prepared{New: func() watchers.Watcher {
				return listener(func(ctx context.Context, _ *watchers.Look, _ func(watchers.Report)) watchers.Report {
					steady.Add(1)
					<-ctx.Done()
					return watchers.Report{}
				})
			}})
			var log logText
			h := runHost(t, runtime.Config{Catalogue: fakes, Log: slog.New(slog.NewTextHandler(&log, nil))})
			h.deploy(listening("beside", "steady"), listening("broken", "breaks"))
			eventually(t, "the panic is an outcome", func() bool {
				d, err := h.Machine(t.Context(), "broken")
				return err == nil && d.State == "failed"
			})
			for _, want := range []string{"msg=watcher_panicked", "machine=broken", "panic=boom", "h61_test.go"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log has no %s:\n%s", want, log.String())
				}
			}
			if _, err := h.Fire(t.Context(), "broken", "again", nil, "test"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the listener listens again", func() bool { return broken.Load() == 2 })
			eventually(t, "the machine beside listens", func() bool { return steady.Load() > 0 })
			if f, err := h.Fire(t.Context(), "beside", "again", nil, "test"); err != nil || steady.Load() != 1 {
				t.Errorf("the machine beside: %v, %v, activated %d times", f, err, steady.Load())
			}
		})
	}
}

// TestH61AListenerThatPanickedStartsAgain does nothing with the outcome: after its pause the runtime starts the listener by itself.
func TestH61AListenerThatPanickedStartsAgain(t *testing.T) {
	fakes := newFakes()
	var activations atomic.Int64
	fakes.add("breaks", &watchers.Prepared{New: func() watchers.Watcher {
		return listener(func(ctx context.Context, _ *watchers.Look, _ func(watchers.Report)) watchers.Report {
			if activations.Add(1) == 1 {
				supervise.Go(ctx, func() { panic("boom") })
			}
			<-ctx.Done()
			return watchers.Report{}
		})
	}})
	h := runHost(t, runtime.Config{Catalogue: fakes})
	h.deploy(strings.ReplaceAll(listening("broken", "breaks"), ", fail_transition: broken", ""))
	eventually(t, "it listens again", func() bool { return activations.Load() == 2 })
	d, err := h.Machine(t.Context(), "broken")
	if err != nil || d.Watchers[0].Outcome != machine.OutcomePanic {
		t.Errorf("%v, %+v", err, d.Watchers)
	}
}

// TestH61AServiceWhoseRequestPanics asks the service watcher for an instance of which the start panics: the request is the only one that
// gets no answer.
func TestH61AServiceWhoseRequestPanics(t *testing.T) {
	nc := broker(t)
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) {
		return &messaging.Credentials{URLs: []string{nc.ConnectedUrl()}}, nil
	}, quiet())
	t.Cleanup(pool.Close)
	if err := pool.Keep(t.Context(), "n1.example.net", "fleet"); err != nil {
		t.Fatal(err)
	}
	catalogue := all.New(all.Services{Pool: pool, Spawner: watchers.SpawnerFunc(func(_ context.Context, o watchers.SpawnOrder) (bool, error) {
		if o.Key == "bad" {
			panic("boom")
		}
		return false, nil
	})})
	h := runHost(t, runtime.Config{Catalogue: catalogue})
	h.deploy(`
format: 1
name: services
version: 1.0.0
initial_state: serving
states: {serving: {home: true}, paused: {home: true}}
transitions: [{name: pause, from: [serving], destination: paused}]
watchers:
	- {name: one, type: service, properties: {name: one, subject: ask.one, spawn: {template: t, key: message.body}}, state_match: [serving]}
	- {name: two, type: service, properties: {name: two, subject: ask.two, spawn: {template: t, key: message.body}}, state_match: [serving]}
`)
	asks := func(subject, key string) bool {
		m, err := nc.Request(subject, []byte(key), 10*time.Second)
		return err == nil && m.Header.Get(micro.ErrorCodeHeader) == "409"
	}
	eventually(t, "both services answer", func() bool { return asks("ask.one", "good") && asks("ask.two", "good") })
	if err := nc.PublishRequest("ask.one", "_INBOX.nobody", []byte("bad")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the panic is an outcome", func() bool {
		d, err := h.Machine(t.Context(), "services")
		return err == nil && d.Watchers[0].Outcome == machine.OutcomePanic && d.Watchers[1].Outcome != machine.OutcomePanic
	})
	if !asks("ask.two", "good") {
		t.Error("the other service does not answer")
	}
	eventually(t, "the service answers again", func() bool { return asks("ask.one", "good") })
}

// listening is a machine that listens, and shows a failure of that.
func listening(name, kind string) string {
	return `
format: 1
name: ` + name + `
version: 1.0.0
initial_state: well
states: {well: {home: true}, failed: {home: true}}
transitions:
	- {name: broken, from: [well], destination: failed}
	- {name: again, from: [well, failed], destination: well}
watchers:
	- {name: w, type: ` + kind + `, state_match: [well], fail_transition: broken}
`
}

// logText keeps what is logged.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logText) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// String is all that was logged.
func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// careless panics in everything that a turn asks a watcher.
type careless struct{}

func (careless) Check(context.Context, *watchers.Look) watchers.Report { return watchers.Success() }
func (careless) Plan(watchers.Planning) watchers.Due                   { panic("boom") }
func (careless) Paths(*watchers.Look) []string                         { panic("boom") }
func (careless) Reset()                                                { panic("boom") }

// TestH61APanicInATurnEndsNothing has a watcher panic where the turn asks it when it is due, and where its activation ends.
func TestH61APanicInATurnEndsNothing(t *testing.T) {
	fakes := newFakes()
	fakes.add("careless", &watchers.Prepared{New: func() watchers.Watcher { return careless{} }})
	h := runHost(t, runtime.Config{Catalogue: fakes, StateDir: t.TempDir()})
	h.deploy(listening("m", "careless"), listening("beside", "probe"))
	eventually(t, "the panic shows", func() bool {
		d, err := h.Machine(t.Context(), "m")
		return err == nil && d.Watchers[0].Outcome == machine.OutcomePanic
	})
	if f, err := h.Fire(t.Context(), "m", "broken", nil, "test"); err != nil || !f.Durable {
		t.Errorf("the machine itself: %+v, %v", f, err)
	}
	if f, err := h.Fire(t.Context(), "beside", "broken", nil, "test"); err != nil || !f.Durable {
		t.Errorf("the machine beside it: %+v, %v", f, err)
	}
}
