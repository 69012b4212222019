package broker

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// patience is how long a test waits for what is to come, and quietly how long it waits for what is not to come.
const (
	patience = 20 * time.Second
	quietly  = 250 * time.Millisecond
)

// await polls a condition.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); !holds(); <-again.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// overlay is what a cell's brokers trust, and who signs for it.
type overlay struct {
	root   *identity.Signer
	issuer *identity.Signer // one certificate below the root
	ca     *identity.CA
	tls    *TLS
}

func newOverlay(t testing.TB) *overlay {
	t.Helper()
	o := &overlay{root: &identity.Signer{Key: newKey(t)}}
	o.issuer = o.delegate(t, newKey(t), identity.IssuerLimits{
		Purposes: []identity.Purpose{identity.PurposeNode, identity.PurposeJoin, identity.PurposeClient, identity.PurposeService},
		Cells:    []string{"c1"},
	})
	var err error
	if o.ca, err = identity.NewCA("c1", time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	certificate, err := o.ca.Server([]string{"127.0.0.1", "localhost"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	o.tls = &TLS{Certificate: certificate, CA: o.ca.PEM()}
	return o
}

func (o *overlay) delegate(t testing.TB, key *identity.Key, limits identity.IssuerLimits) *identity.Signer {
	t.Helper()
	begins := time.Now().Add(-200 * 24 * time.Hour)
	s, err := o.root.Delegate(key, identity.Claims{Subject: "issuer", IssuedAt: begins, Expires: time.Now().Add(48 * time.Hour), Limits: &limits})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey(t testing.TB) *identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// login is a token, and the key that signs nonces.
type login struct {
	token  string
	key    *identity.Key
	claims identity.Claims
}

func (l login) inbox() string { return InboxPrefix(&l.claims, l.key.Public()) }

// login signs claims, which are completed, for a new key.
func (o *overlay) login(t testing.TB, c identity.Claims, change ...func(*identity.Claims)) login {
	t.Helper()
	l := login{key: newKey(t)}
	c.Cell, c.IssuedAt, c.Expires = "c1", time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	if c.Purpose == identity.PurposeJoin {
		c.Subject, c.Join = "join", &identity.JoinClaims{}
	} else {
		c.PublicKey = l.key.Public().String()
	}
	for _, f := range change {
		f(&c)
	}
	token, err := o.issuer.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	read, err := identity.Inspect(token)
	if err != nil {
		t.Fatal(err)
	}
	l.token, l.claims = token, *read
	return l
}

func (o *overlay) node(t testing.TB, id string, change ...func(*identity.Claims)) login {
	t.Helper()
	return o.login(t, identity.Claims{
		Purpose: identity.PurposeNode, Subject: id, Identity: identity.Identity(id), Collectives: []string{"mcollective"},
	}, change...)
}

func (o *overlay) join(t testing.TB, change ...func(*identity.Claims)) login {
	t.Helper()
	return o.login(t, identity.Claims{Purpose: identity.PurposeJoin}, change...)
}

func (o *overlay) client(t testing.TB, name string, rights ...string) login {
	t.Helper()
	return o.login(t, identity.Claims{Purpose: identity.PurposeClient, Subject: name, Permissions: granted(rights)})
}

func (o *overlay) service(t testing.TB, right string) login {
	t.Helper()
	return o.login(t, identity.Claims{Purpose: identity.PurposeService, Subject: "host", Identity: "host", Permissions: granted([]string{right})})
}

func granted(rights []string) map[string]bool {
	all := map[string]bool{}
	for _, r := range rights {
		all[r] = true
	}
	return all
}

func expiring(at time.Time) func(*identity.Claims) {
	return func(c *identity.Claims) {
		c.Expires = at
		if !c.IssuedAt.Before(at) {
			c.IssuedAt = at.Add(-time.Hour)
		}
	}
}

// config is a broker of the overlay on loopback, with every listener but the cluster's.
func (o *overlay) config(t testing.TB, change ...func(*Config)) Config {
	t.Helper()
	cfg := Config{
		Name: "b1", Cell: "c1", Dir: t.TempDir(), Fleet: "127.0.0.1:0", Enrollment: "127.0.0.1:0", TLS: o.tls,
		Verifier: identity.NewVerifier(o.root.Key.Public()), Limits: DefaultLimits(), Now: time.Now, Log: testLog(t),
	}
	cfg.Limits.LameDuck = 0
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// broker starts one.
func (o *overlay) broker(t testing.TB, change ...func(*Config)) *Broker {
	t.Helper()
	return startBroker(t, o.config(t, change...), Decide)
}

// permissive starts a broker that lets everybody do everything, so that an attack can be shown to succeed.
func (o *overlay) permissive(t testing.TB, change ...func(*Config)) *Broker {
	t.Helper()
	return startBroker(t, o.config(t, change...), func(e Evidence, _ *Knowledge) Decision {
		d := Decision{Account: AccountFleet, Permissions: permissions([]string{">"}, []string{">"})}
		if e.Listener != ListenerFleet {
			d.Account = AccountEnrollment
		}
		return d
	})
}

func startBroker(t testing.TB, cfg Config, decide decider) *Broker {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := start(ctx, cfg, decide)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if cfg.Cluster == nil {
		if err := b.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// cluster starts three brokers of one cell.
func (o *overlay) cluster(t testing.TB, change ...func(*Config)) []*Broker {
	t.Helper()
	peers := freeAddresses(t, 3)
	var all []*Broker
	for i := range peers {
		all = append(all, o.broker(t, append([]func(*Config){func(c *Config) {
			c.Name = "b" + strconv.Itoa(i+1)
			c.Cluster = &Cluster{Listen: peers[i], Peers: peers, Secret: strings.Repeat("s", minSecret)}
		}}, change...)...))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, b := range all {
		if err := b.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "three brokers of a cluster", func() bool {
		leaders := 0
		for _, b := range all {
			if b.fleet.server.JetStreamIsLeader() && len(b.fleet.server.JetStreamClusterPeers()) == 3 {
				leaders++
			}
		}
		return leaders == 1
	})
	return all
}

// freeAddresses are loopback addresses that nobody listened on a moment ago.
func freeAddresses(t testing.TB, n int) []string {
	t.Helper()
	var all []string
	var held []net.Listener // together, so that they differ
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held, all = append(held, l), append(all, l.Addr().String())
	}
	for _, l := range held {
		_ = l.Close()
	}
	return all
}

// dial connects as the login says, and returns what the broker answered.
func (o *overlay) dial(t testing.TB, url string, l login, opts ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	tls, err := identity.CATLS(o.ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	all := append([]nats.Option{
		nats.Token(l.token), nats.CustomInboxPrefix(l.inbox()), nats.Timeout(patience), nats.NoReconnect(),
		nats.Nkey(l.key.Public().NKey(), func(nonce []byte) ([]byte, error) { return l.key.Sign(nonce), nil }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ClosedHandler(func(*nats.Conn) { close(gone) }),
	}, opts...)
	if url != "" { // in-process there is none
		all = append(all, nats.Secure(tls))
	}
	conn, err := nats.Connect(url, all...)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		conn.Close()
		<-gone
	})
	return conn, nil
}

// connect is dial that must succeed.
func (o *overlay) connect(t testing.TB, url string, l login, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := o.dial(t, url, l, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// testLog is the test's own log.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(&testWriter{t: t}, nil))
}

// testWriter writes to the test's log until it has ended.
type testWriter struct {
	t  testing.TB
	mu sync.Mutex
}

func (w *testWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimSpace(string(line)))
	}
	return len(line), nil
}

var _ server.Authentication = (*gate)(nil)
