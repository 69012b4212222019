package messaging

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
)

// TestH62AConnectionThatTheLibraryClosedIsOpenedAgain has nats.go close a connection for good, as a broker makes it do: by an error that nobody
// knows, and by its word on a line that was too long. The loss is told with the reason, the connection comes back, and whoever used it uses
// the new one.
func TestH62AConnectionThatTheLibraryClosedIsOpenedAgain(t *testing.T) {
	for reason, breaks := range map[string]func(x *proxy, conn *nats.Conn){
		"no particular reason": func(x *proxy, _ *nats.Conn) { x.say("-ERR 'no particular reason'\r\n") },
		"maximum control line exceeded": func(_ *proxy, conn *nats.Conn) {
			_ = conn.Publish(strings.Repeat("a", 100_000), nil)
			_ = conn.FlushTimeout(patience)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			b := startBroker(t)
			x := newProxy(t, b)
			p := newPool(t, always(&Credentials{URLs: []string{x.url()}}))
			holds := listen(t, p, nil, "connection", "name: fleet")
			holds.await(machine.OutcomeSuccess)
			serves := listening(t, p, nil, "service", "name: echo\nsubject: echo\nreply: message.body")
			hears := listening(t, p, nil, "subscribe", "subject: news")
			old := wait(t, p, "fleet")
			breaks(x, old)
			if r := holds.await(machine.OutcomeFail); !strings.Contains(strings.ToLower(r.Message), reason) || r.State["connected"] != false {
				t.Errorf("it tells %q, %v", r.Message, r.State)
			}
			holds.await(machine.OutcomeSuccess)
			if now := wait(t, p, "fleet"); now == old || !old.IsClosed() {
				t.Error("the connection is the one that was closed")
			}
			asker := b.client()
			eventually(t, "the service answers by the new connection", func() bool {
				m, err := asker.Request("echo", []byte("hello"), patience)
				return err == nil && string(m.Data) == "hello"
			})
			eventually(t, "the subscription hears by the new connection", func() bool {
				return asker.Publish("news", []byte("x")) == nil && asker.FlushTimeout(patience) == nil && len(hears.reports) > 0
			})
			if r := check(t, p, nil, "publish", "subject: other\npayload: x"); r.Outcome != machine.OutcomeSuccess {
				t.Errorf("publishing: %s", r.Message)
			}
			holds.quiet()
			holds.stop()
			serves.stop()
			hears.stop()
		})
	}
}

// TestH62ABrokerThatClosesEveryConnectionIsAskedMoreSeldom has a broker that ends every session. The pauses grow.
func TestH62ABrokerThatClosesEveryConnectionIsAskedMoreSeldom(t *testing.T) {
	b := startBroker(t)
	x := newProxy(t, b)
	p := newPool(t, always(&Credentials{URLs: []string{x.url()}}))
	var mu sync.Mutex
	var pauses []int
	p.backoff = func(attempt int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		pauses = append(pauses, attempt)
		return time.Millisecond
	}
	holds := listen(t, p, nil, "connection", "name: fleet")
	for range 4 {
		holds.await(machine.OutcomeSuccess)
		x.say("-ERR 'no particular reason'\r\n")
		holds.await(machine.OutcomeFail)
	}
	holds.await(machine.OutcomeSuccess)
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(pauses, []int{1, 2, 3, 4}) {
		t.Errorf("the pauses are those after %v closings in a row", pauses)
	}
}

// TestH62AClosedConnectionIsNotOpenedForNobody leaves the state while another connection is planned, and closes the pool.
func TestH62AClosedConnectionIsNotOpenedForNobody(t *testing.T) {
	b := startBroker(t)
	x := newProxy(t, b)
	p := newPool(t, always(&Credentials{URLs: []string{x.url()}}))
	p.backoff = func(int) time.Duration { return time.Hour }
	holds := listen(t, p, nil, "connection", "name: fleet")
	holds.await(machine.OutcomeSuccess)
	x.say("-ERR 'no particular reason'\r\n")
	holds.await(machine.OutcomeFail)
	opened := x.accepted.Load()
	holds.stop()
	p.Close()
	if n := x.accepted.Load(); n != opened {
		t.Errorf("%d connections were opened for nobody", n-opened)
	}
}

// say tells all clients something as their broker.
func (x *proxy) say(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.fronts {
		_, _ = c.Write([]byte(text))
	}
	x.fronts = nil
}
