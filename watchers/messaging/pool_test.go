package messaging

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

func TestPoolWithoutConnection(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	if _, err := p.Conn(node, "fleet"); !errors.Is(err, ErrNotConnected) || !strings.Contains(err.Error(), "connection watcher") {
		t.Errorf("gives %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Wait(ctx, node, "fleet"); !errors.Is(err, ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting gives %v", err)
	}
	if len(p.links) > 0 {
		t.Errorf("%d links are left behind", len(p.links))
	}
}

func TestNilPool(t *testing.T) {
	var p *Pool
	_, err := p.Conn(node, "fleet")
	_, waited := p.Wait(t.Context(), node, "fleet")
	if !errors.Is(err, errNoPool) || !errors.Is(waited, errNoPool) || !errors.Is(p.Keep(t.Context(), node, "fleet"), errNoPool) {
		t.Errorf("gives %v, %v", err, waited)
	}
	p.Refresh(node)
	p.Close()
}

func TestPoolSharesAConnection(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	first, second := keep(t, p, "fleet"), keep(t, p, "fleet")
	conn := wait(t, p, "fleet")
	if n := b.srv.NumClients(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
	if other, err := p.Conn("n2.example", "fleet"); err == nil {
		t.Errorf("another identity finds %v", other)
	}
	first()
	eventually(t, "the first lets go", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.links[linkName{node, "fleet"}].holders == 1
	})
	if now, err := p.Conn(node, "fleet"); err != nil || now != conn {
		t.Errorf("one still holds it: %v, %v", now, err)
	}
	second()
	eventually(t, "the connection is closed", func() bool { return b.srv.NumClients() == 0 && conn.IsClosed() })
	if _, err := p.Conn(node, "fleet"); !errors.Is(err, ErrNotConnected) {
		t.Errorf("after the last it gives %v", err)
	}
}

func TestPoolSource(t *testing.T) {
	wrong := errors.New("no token")
	for name, s := range map[string]Source{
		"none":      nil,
		"fails":     func(string, string) (*Credentials, error) { return nil, wrong },
		"no broker": always(&Credentials{Token: "t"}),
		"nothing":   always(nil),
	} {
		p := newPool(t, s)
		if err := p.Keep(t.Context(), node, "fleet"); err == nil || name == "fails" && !errors.Is(err, wrong) {
			t.Errorf("%s: %v", name, err)
		}
		if len(p.links) > 0 {
			t.Errorf("%s: a link is left behind", name)
		}
	}
}

func TestClosedPool(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	waiting := make(chan error, 1)
	go func() {
		_, err := p.Wait(context.Background(), node, "other")
		waiting <- err
	}()
	eventually(t, "somebody waits", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.links) == 2
	})
	p.Close()
	if err := <-waiting; !errors.Is(err, errClosed) {
		t.Errorf("who waits gets %v", err)
	}
	if err := p.Keep(t.Context(), node, "fleet"); !errors.Is(err, errClosed) {
		t.Errorf("opening gives %v", err)
	}
	if _, err := p.Conn(node, "fleet"); err == nil {
		t.Error("a closed pool has a connection")
	}
	p.Close()
}

func TestReconnectsToABrokerThatWasAway(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := wait(t, p, "fleet")
	b.stop()
	eventually(t, "the loss is seen", func() bool { _, err := p.Conn(node, "fleet"); return err != nil })
	if err := conn.Publish("a", nil); err == nil {
		t.Error("what is published without a broker waits for one")
	}
	b.start()
	if wait(t, p, "fleet") != conn {
		t.Error("it is another connection")
	}
}

func TestOpensWhenTheBrokerComes(t *testing.T) {
	b := startBroker(t)
	b.stop()
	p := newPool(t, always(b.credentials()))
	if err := p.Keep(t.Context(), node, "fleet"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := p.Wait(ctx, node, "fleet"); err == nil || !strings.Contains(err.Error(), "no servers") {
		t.Errorf("without a broker: %v", err)
	}
	b.start()
	wait(t, p, "fleet")
}

// TestABrokerThatSaysNothing holds nobody up: nats.go has the connection's lock while it waits for the broker's first word.
func TestABrokerThatSaysNothing(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	p := newPool(t, always(&Credentials{URLs: []string{"nats://" + silent.Addr().String()}}))
	a := listen(t, p, nil, "connection", "name: fleet")
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a.stop()
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(2 * time.Second):
		t.Fatal("closing waits for the broker")
	}
}

// gate is an authenticator that knows keys and tokens.
type gate struct {
	mu      sync.Mutex
	keys    map[string]bool // in NATS's form; nil lets everybody in
	tokens  map[string]bool
	logins  []string // tokens that were let in
	refused int
}

// Check implements server.Authentication.
func (g *gate) Check(c server.ClientAuthentication) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := c.GetOpts()
	ok := g.tokens[o.Token]
	if g.keys != nil {
		key, err := identity.ParseNKey(o.Nkey)
		sig, decoded := base64.RawURLEncoding.DecodeString(o.Sig)
		ok = ok && g.keys[o.Nkey] && err == nil && decoded == nil && key.Verify(c.GetNonce(), sig)
	}
	if !ok {
		g.refused++
		return false
	}
	g.logins = append(g.logins, o.Token)
	c.RegisterUser(&server.User{})
	return true
}

func (g *gate) allow(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens[token] = true
}

func (g *gate) seen() (logins []string, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append(logins, g.logins...), g.refused
}

func guarded(t *testing.T, tokens ...string) (*broker, *gate) {
	t.Helper()
	g := &gate{tokens: map[string]bool{}}
	for _, token := range tokens {
		g.tokens[token] = true
	}
	b := startBroker(t, func(o *server.Options) { o.CustomClientAuthentication, o.AlwaysEnableNonce = g, true })
	return b, g
}

func TestLogsInWithTokenAndSignedNonce(t *testing.T) {
	b, g := guarded(t, "token")
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	g.keys = map[string]bool{key.Public().NKey(): true}
	for _, tt := range []struct {
		name  string
		key   *identity.Key
		token string
		ok    bool
	}{{"right", key, "token", true}, {"other key", other, "token", false}, {"no key", nil, "token", false}, {"other token", key, "t", false}} {
		c := b.credentials()
		c.Key, c.Token, c.InboxPrefix = tt.key, tt.token, "_INBOX.n1=example"
		p := newPool(t, always(c))
		a := listen(t, p, nil, "connection", "name: fleet")
		if tt.ok {
			a.await("success")
			if inbox := wait(t, p, "fleet").NewInbox(); !strings.HasPrefix(inbox, "_INBOX.n1=example.") {
				t.Errorf("%s: the inbox is %s", tt.name, inbox)
			}
		} else if r := a.await(outcomeRefused); !strings.Contains(r.Message, "uthorization") {
			t.Errorf("%s: %s", tt.name, r.Message)
		}
		p.Close()
	}
}

func TestRefreshLogsInAnewBeforeTheSessionEnds(t *testing.T) {
	b, g := guarded(t, "old", "new")
	creds := func(token string, left time.Duration) *Credentials {
		c := b.credentials()
		c.Token, c.Expires = token, time.Now().Add(left)
		return c
	}
	src := &given{set: creds("old", 400*time.Millisecond)}
	p := newPool(t, src.source)
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await("success")
	conn := wait(t, p, "fleet")
	sub := listening(t, p, nil, "subscribe", "subject: news")

	p.Refresh(node) // nothing has changed
	src.change(creds("new", time.Hour), nil)
	p.Refresh(node)
	p.Refresh(node)
	if r := a.await("success"); r.Payload["logins"] != 2 {
		t.Errorf("logs in with %v", r.Payload)
	}
	if logins, _ := g.seen(); len(logins) != 2 || logins[1] != "new" {
		t.Errorf("the broker saw the tokens %v", logins)
	}
	if wait(t, p, "fleet") != conn {
		t.Error("the connection was replaced")
	}
	publish(t, p, "news", "1")
	sub.await("success")
	a.quiet() // a login that we wanted is no loss
}

func publish(t testing.TB, p *Pool, subject, body string) {
	t.Helper()
	conn := wait(t, p, "fleet")
	if err := errors.Join(conn.Publish(subject, []byte(body)), conn.Flush()); err != nil {
		t.Fatal(err)
	}
}

func TestSpread(t *testing.T) {
	for left, below := range map[time.Duration]time.Duration{
		-time.Second: 1, 0: 1, time.Second: time.Second / 2, time.Hour: longestSpread, 90 * 24 * time.Hour: longestSpread,
	} {
		for range 1000 {
			if d := spread(left); d < 0 || d >= below {
				t.Fatalf("%s before the end it waits %s, want below %s", left, d, below)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	for attempt, longest := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 1000: time.Minute} {
		seen := map[time.Duration]bool{}
		for range 100 {
			d := backoff(attempt)
			seen[d] = true
			if d < longest/2 || d >= longest {
				t.Fatalf("attempt %d waits %s, want %s to %s", attempt, d, longest/2, longest)
			}
		}
		if len(seen) < 50 {
			t.Errorf("attempt %d: %d different delays of 100", attempt, len(seen))
		}
	}
}

func TestRefreshMovesToAnotherBrokerAtOnce(t *testing.T) {
	one, two := startBroker(t), startBroker(t)
	src := &given{set: one.credentials()}
	p := newPool(t, src.source)
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await("success")
	sub := listening(t, p, nil, "subscribe", "subject: news")
	old := wait(t, p, "fleet")

	src.change(two.credentials(), nil)
	p.Refresh(node)
	if conn, err := p.Conn(node, "fleet"); err == nil && conn == old {
		t.Error("the old connection is still found")
	}
	if r := a.await("success"); r.Payload["server"] != two.url() {
		t.Errorf("connects to %v", r.Payload)
	}
	eventually(t, "the listener follows", func() bool { return two.srv.NumSubscriptions() == one.srv.NumSubscriptions()+1 })
	eventually(t, "the old broker is left", func() bool { return one.srv.NumClients() == 0 })
	publish(t, p, "news", "1")
	sub.await("success")
	sub.quiet()
	a.quiet()
}

// TestMovesWhenItFindsThatItHasTo is a node whose cell is gone: what it asks for at its next attempt leads elsewhere.
func TestMovesWhenItFindsThatItHasTo(t *testing.T) {
	one, two := startBroker(t), startBroker(t)
	src := &given{set: one.credentials()}
	p := newPool(t, src.source)
	keep(t, p, "fleet")
	src.change(two.credentials(), nil)
	one.stop()
	one.start()
	eventually(t, "it is connected to the other", func() bool {
		conn, err := p.Conn(node, "fleet")
		return err == nil && conn.ConnectedUrl() == two.url()
	})
}

func TestRefusedUntilCredentialsAreRight(t *testing.T) {
	b, g := guarded(t, "right")
	wrong, right := b.credentials(), b.credentials()
	wrong.Token, right.Token = "wrong", "right"
	src := &given{set: wrong}
	p := newPool(t, src.source)
	p.backoff = func(int) time.Duration { return time.Hour }
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await(outcomeRefused)
	src.change(right, nil)
	p.Refresh(node)
	a.await("success")
	if _, refused := g.seen(); refused == 0 {
		t.Error("the broker refused nothing")
	}
}

// TestRefusalIsToldOnce although the broker refuses again and again, and again after it took the credentials once.
func TestRefusalIsToldOnce(t *testing.T) {
	b, g := guarded(t)
	c := b.credentials()
	c.Token = "late"
	p := newPool(t, always(c))
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await(outcomeRefused)
	eventually(t, "it was refused five times", func() bool { _, n := g.seen(); return n >= 5 })
	a.quiet()
	g.allow("late")
	a.await("success")
	g.mu.Lock()
	g.tokens = map[string]bool{}
	g.mu.Unlock()
	b.stop()
	a.await("fail")
	b.start()
	a.await(outcomeRefused)
}

func TestRefreshKeepsWhatItHasWithoutCredentials(t *testing.T) {
	b := startBroker(t)
	src := &given{set: b.credentials()}
	p := newPool(t, src.source)
	keep(t, p, "fleet")
	conn := wait(t, p, "fleet")
	src.change(nil, errors.New("the store is damaged"))
	p.Refresh(node)
	b.stop()
	eventually(t, "the loss is seen", func() bool { _, err := p.Conn(node, "fleet"); return err != nil })
	b.start()
	if wait(t, p, "fleet") != conn {
		t.Error("the connection was replaced")
	}
}

func TestFaultsAreLoggedAtPowersOfTen(t *testing.T) {
	var log bytes.Buffer
	p := newPool(t, nil)
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	ln := &line{pool: p, link: p.join(node, "fleet")}
	for range 1234 {
		ln.fault("other", errors.New("odd"))
	}
	ln.fault("lost", errors.New("gone"))
	for _, count := range []string{"1", "10", "100", "1000"} {
		if !strings.Contains(log.String(), "kind=other count="+count+" ") {
			t.Errorf("the fault number %s is not logged", count)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 5 {
		t.Errorf("%d lines are logged, want 5:\n%s", lines, log.String())
	}
}

func TestUnusableCredentialsEndTheWatcher(t *testing.T) {
	b := startBroker(t)
	c := b.credentials()
	c.InboxPrefix = "not a prefix."
	p := newPool(t, always(c))
	a := listen(t, p, nil, "connection", "name: fleet")
	if r := a.end(); r.Outcome != "fail" || !strings.Contains(r.Message, "prefix") {
		t.Errorf("ends with %+v", r)
	}
}

// inProcess gives connections that need no socket.
type inProcess struct {
	srv  *server.Server
	used atomic.Int32
}

// InProcessConn implements nats.InProcessConnProvider.
func (i *inProcess) InProcessConn() (net.Conn, error) {
	i.used.Add(1)
	return i.srv.InProcessConn()
}

func TestConnectsInProcess(t *testing.T) {
	b := startBroker(t)
	in := &inProcess{srv: b.srv}
	p := newPool(t, always(&Credentials{InProcess: in}))
	keep(t, p, "fleet")
	if in.used.Load() != 1 {
		t.Errorf("the provider was used %d times", in.used.Load())
	}
}

var _ nats.InProcessConnProvider = (*inProcess)(nil)
