package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestD27TokensEndSessions waits for the end of tokens of every purpose.
func TestD27TokensEndSessions(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	ends := time.Now().Add(3 * time.Second).Truncate(time.Second)
	conns := map[string]*nats.Conn{}
	var told atomic.Int64
	for name, l := range map[string]login{
		"node":    o.node(t, "n1", expiring(ends)),
		"client":  o.login(t, identity.Claims{Purpose: identity.PurposeClient, Subject: "bob"}, expiring(ends)),
		"service": o.login(t, identity.Claims{Purpose: identity.PurposeService, Subject: "h", Identity: "h", Permissions: granted([]string{RightFleetService})}, expiring(ends)),
		"join":    o.join(t, expiring(ends)),
	} {
		url := b.ClientURL()
		if name == "join" {
			url = b.EnrollmentURL()
		}
		conns[name] = o.connect(t, url, l, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrAuthExpired) {
				told.Add(1)
			}
		}))
	}
	for name, conn := range conns {
		await(t, name+": the session ends", conn.IsClosed)
		if early := time.Until(ends); early > 50*time.Millisecond {
			t.Errorf("%s: the session ended %s too early", name, early)
		}
		if late := time.Since(ends); late > 2*time.Second {
			t.Errorf("%s: the session ended %s too late", name, late)
		}
	}
	await(t, "all were told that their tokens ended", func() bool { return int(told.Load()) == len(conns) })
}

// TestD27JoinSessionsEnd holds sessions of those who join to their own limit.
func TestD27JoinSessionsEnd(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, func(c *Config) { c.Limits.JoinSession = 200 * time.Millisecond })
	conn := o.connect(t, b.EnrollmentURL(), o.join(t))
	await(t, "the session ends", conn.IsClosed)
}

// TestD27RenewedTokenReconnects renews over the live session. The old session ends with its token, and the connection comes back with the
// new one.
func TestD27RenewedTokenReconnects(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	first := o.node(t, "n1", expiring(time.Now().Add(2*time.Second).Truncate(time.Second)))
	second, err := o.issuer.Sign(identity.Claims{
		Purpose: identity.PurposeNode, Subject: "n1", Identity: "n1", PublicKey: first.claims.PublicKey, Cell: "c1",
		IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	service := o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	if _, err := service.Subscribe("node.*.out.renew", func(m *nats.Msg) { _ = m.Respond([]byte(second)) }); err != nil {
		t.Fatal(err)
	}
	flush(t, service)
	var current atomic.Pointer[string]
	current.Store(&first.token)
	trust, err := identity.CATLS(o.ca.PEM())
	if err != nil {
		t.Fatal(err)
	}
	gone, again := make(chan struct{}), make(chan struct{}, 10)
	conn, err := nats.Connect(b.ClientURL(), nats.Secure(trust), nats.CustomInboxPrefix(first.inbox()), nats.IgnoreAuthErrorAbort(),
		nats.TokenHandler(func() string { return *current.Load() }), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1),
		nats.Nkey(first.key.Public().NKey(), func(nonce []byte) ([]byte, error) { return first.key.Sign(nonce), nil }),
		nats.ReconnectHandler(func(*nats.Conn) { again <- struct{}{} }), nats.ClosedHandler(func(*nats.Conn) { close(gone) }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		conn.Close()
		<-gone
	}()
	m, err := conn.Request("node.n1.out.renew", nil, patience)
	if err != nil {
		t.Fatal(err)
	}
	renewed := string(m.Data)
	current.Store(&renewed)
	select {
	case <-again:
	case <-time.After(patience):
		t.Fatal("the connection does not come back")
	}
	if _, err := conn.Request("node.n1.out.renew", nil, patience); err != nil {
		t.Errorf("the new session: %v", err)
	}
	if n := len(b.fleet.gate.sessions.of(func(who Bearer) bool { return who.Identity == "n1" && who.TokenID != first.claims.ID })); n != 1 {
		t.Errorf("%d sessions of the new token, want 1", n)
	}
}

// TestD27ExpiredNodeRenews lets a node in whose token ended while it was cut off, to renew and for nothing else.
func TestD27ExpiredNodeRenews(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, func(c *Config) {
		c.Limits.RenewSession, c.Limits.RenewBurst, c.Limits.RenewRate = 3*time.Second, 2, 0.001
	})
	service := o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	if _, err := service.Subscribe("node.*.out.renew", func(m *nats.Msg) { _ = m.Respond([]byte("token")) }); err != nil {
		t.Fatal(err)
	}
	all, err := service.SubscribeSync("node.>")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, service)
	late := func(id string, by time.Duration) login { return o.node(t, id, expiring(time.Now().Add(-by))) }
	began := time.Now()
	var denied atomic.Int64
	conn := o.connect(t, b.ClientURL(), late("n1", 89*24*time.Hour), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			denied.Add(1)
		}
	}))
	if m, err := conn.Request("node.n1.out.renew", nil, patience); err != nil || string(m.Data) != "token" {
		t.Fatalf("renewing: %v", err)
	}
	if _, err := all.NextMsg(patience); err != nil {
		t.Fatal(err)
	}
	for i, subject := range []string{"node.n1.out.alive", "node.n2.out.renew", "node.n1.out.renew.x", "choria.lifecycle.event.x.y"} {
		if err := conn.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		await(t, "publishing "+subject+" is denied", func() bool { return denied.Load() == int64(i+1) })
	}
	for i, subject := range []string{"node.n1.in.>", "fleet.mcollective.>", ">"} {
		if _, err := conn.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		flush(t, conn)
		await(t, "subscribing "+subject+" is denied", func() bool { return denied.Load() == int64(5+i) })
	}
	if m, err := all.NextMsg(quietly); err == nil {
		t.Errorf("it said %s", m.Subject)
	}
	await(t, "the session ends", conn.IsClosed)
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("the session took %s", took)
	}
	if _, err := o.dial(t, b.ClientURL(), late("n2", 121*24*time.Hour)); err == nil {
		t.Error("a token that ended 121 days ago comes in")
	}
	if _, err := o.dial(t, b.ClientURL(), late("n3", time.Hour)); err != nil {
		t.Errorf("the second one of the burst: %v", err)
	}
	if _, err := o.dial(t, b.ClientURL(), late("n4", time.Hour)); err == nil {
		t.Error("more come in than the rate allows")
	}
	if _, err := o.dial(t, b.ClientURL(), o.node(t, "n4")); err != nil {
		t.Errorf("the rate holds a node back whose token is valid: %v", err)
	}
	b.Revoke(Revocation{Kind: RevokedIdentity, Value: "n5"})
	if _, err := o.dial(t, b.ClientURL(), late("n5", time.Hour)); err == nil {
		t.Error("a revoked node may renew")
	}
	if !slices.Contains(gather(t, b), "logins_total{listener=fleet,outcome=busy,purpose=node} 1") {
		t.Error("what was too much is not counted")
	}
}

// following lets brokers follow the bucket until the test ends.
func following(t testing.TB, all ...*Broker) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, b := range all {
		running.Go(func() {
			if err := b.FollowRevocations(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
}

// bucketOf makes the bucket of revocations, as an overlay does.
func bucketOf(t testing.TB, o *overlay, b *Broker, replicas int) jetstream.KeyValue {
	t.Helper()
	// In-process, as nobody else is let in before a host has read the bucket.
	js, err := jetstream.New(o.connect(t, "", o.service(t, RightFleetService), nats.InProcessServer(b.Provider())))
	if err != nil {
		t.Fatal(err)
	}
	var kv jetstream.KeyValue
	await(t, "the bucket", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: revokedBucket, Replicas: replicas})
		return err == nil
	})
	return kv
}

func put(t testing.TB, kv jetstream.KeyValue, r Revocation) {
	t.Helper()
	r.Reason, r.By, r.At = "stolen", "operator", time.Now()
	value, err := r.Encode()
	if err == nil {
		_, err = kv.Put(t.Context(), r.Key(), value)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestD27RevocationEndsSessionsEverywhere revokes at one broker of three, in each of the ways.
func TestD27RevocationEndsSessionsEverywhere(t *testing.T) {
	o := newOverlay(t)
	all := o.cluster(t)
	following(t, all...)
	bucketOf(t, o, all[0], 3)
	js, err := jetstream.New(o.connect(t, all[1].ClientURL(), o.service(t, RightFleetService)))
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), revokedBucket)
	if err != nil {
		t.Fatal(err)
	}
	other := &overlay{root: o.root, ca: o.ca, issuer: o.delegate(t, newKey(t), identity.IssuerLimits{Purposes: []identity.Purpose{identity.PurposeNode}})}
	for _, tt := range []struct {
		name   string
		logins []login
		ban    func(login) Revocation
	}{
		{"token", []login{o.node(t, "n1")}, func(l login) Revocation { return Revocation{Kind: RevokedToken, Value: l.claims.ID} }},
		{"key", []login{o.node(t, "n2")}, func(l login) Revocation { return Revocation{Kind: RevokedKey, Value: l.claims.PublicKey} }},
		{"identity", []login{o.node(t, "n3.example"), o.node(t, "n3.example")}, func(l login) Revocation {
			return Revocation{Kind: RevokedIdentity, Value: l.claims.Identity.Token()}
		}},
		{"issuer", []login{other.node(t, "n4"), other.node(t, "n5")}, func(login) Revocation {
			return Revocation{Kind: RevokedKey, Value: other.issuer.Key.Public().String()}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var conns []*nats.Conn
			for _, b := range all {
				for _, l := range tt.logins {
					conns = append(conns, o.connect(t, b.ClientURL(), l))
				}
			}
			stays := o.connect(t, all[2].ClientURL(), o.node(t, "stays"))
			began := time.Now()
			put(t, kv, tt.ban(tt.logins[0]))
			for i, c := range conns {
				await(t, fmt.Sprintf("connection %d ends", i), c.IsClosed)
			}
			took := time.Since(began)
			t.Logf("%d sessions on 3 brokers ended %s after the revocation was written", len(conns), took.Round(time.Millisecond))
			if took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
			for i, b := range all {
				for _, l := range tt.logins {
					if _, err := o.dial(t, b.ClientURL(), l); err == nil {
						t.Errorf("it comes in again at broker %d", i+1)
					}
				}
			}
			if stays.IsClosed() {
				t.Error("somebody else's session ended, too")
			}
		})
	}
}

// TestD27BannedStaysBanned bans one before thousands of others, removes the ban from the bucket, and the bucket altogether.
func TestD27BannedStaysBanned(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	following(t, b)
	kv := bucketOf(t, o, b, 1)
	l := o.node(t, "n1")
	banned := func(when string) {
		t.Helper()
		if _, err := o.dial(t, b.ClientURL(), l); err == nil {
			t.Errorf("%s: it comes in", when)
		}
	}
	put(t, kv, Revocation{Kind: RevokedIdentity, Value: "n1"})
	await(t, "the ban", func() bool { return b.knowledge.Revoked.Len() == 1 })
	banned("at once")
	for i := range 500 {
		put(t, kv, Revocation{Kind: RevokedToken, Value: fmt.Sprintf("t%d", i)})
	}
	if err := kv.Delete(t.Context(), "identity.n1"); err != nil {
		t.Fatal(err)
	}
	put(t, kv, Revocation{Kind: RevokedToken, Value: "last"})
	await(t, "the other bans", func() bool { return b.knowledge.Revoked.Ban(Bearer{TokenID: "last"}) })
	banned("after 500 others, and its removal")
	b.Revoke(func() (many []Revocation) {
		for i := range 100_000 {
			many = append(many, Revocation{Kind: RevokedToken, Value: fmt.Sprintf("m%d", i)})
		}
		return many
	}()...)
	banned("after 100,000 others")
}

// TestD27BansOfAnyNameLeaveTheBrokerItself bans names that the broker's own connections could have, and goes on following.
func TestD27BansOfAnyNameLeaveTheBrokerItself(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	following(t, b)
	kv := bucketOf(t, o, b, 1)
	for i, name := range []string{"broker", "enrollment", "revocations", "b1", "self"} {
		put(t, kv, Revocation{Kind: RevokedIdentity, Value: name})
		await(t, "the ban of "+name, func() bool { return b.knowledge.Revoked.Len() == i+1 })
	}
	o.connect(t, b.EnrollmentURL(), o.join(t))
	if !slices.Contains(gather(t, b), "revoked_sessions_total{} 0") {
		t.Error("a session of nobody's ended")
	}
}

// TestD27BansBeforeTheBroker begins to follow a bucket that has been there before.
func TestD27BansBeforeTheBroker(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	kv := bucketOf(t, o, b, 1)
	l := o.node(t, "n1")
	conn := o.connect(t, b.ClientURL(), l)
	for i := range 20 {
		put(t, kv, Revocation{Kind: RevokedToken, Value: fmt.Sprintf("t%d", i)})
	}
	put(t, kv, Revocation{Kind: RevokedToken, Value: l.claims.ID})
	// What answers of services look like, that somebody led here.
	if _, err := kv.Put(t.Context(), "identity.n2", []byte(`{"reason":"not known"}`)); err != nil {
		t.Fatal(err)
	}
	other := o.connect(t, b.ClientURL(), o.node(t, "n2"))
	following(t, b)
	await(t, "the session ends", conn.IsClosed)
	await(t, "the rest is read", func() bool { return slices.Contains(gather(t, b), "unreadable_revocations_total{} 1") })
	if other.IsClosed() {
		t.Error("what is no revocation bans")
	}
	if !slices.Contains(gather(t, b), "revoked_sessions_total{} 1") {
		t.Error("the session that ended is not counted")
	}
}

// TestD27BucketMadeAnew removes the bucket under a watch: the bans stay, and the new bucket is watched. The broker only watches here, and
// does not hear what is being written.
func TestD27BucketMadeAnew(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	watching, err := jetstream.New(o.connect(t, b.ClientURL(), o.service(t, RightFleetService)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { b.follow(ctx, watching) })
	defer func() {
		stop()
		work.Wait()
	}()
	kv := bucketOf(t, o, b, 1)
	put(t, kv, Revocation{Kind: RevokedIdentity, Value: "n1"})
	await(t, "the first ban", func() bool { return b.knowledge.Revoked.Len() == 1 })
	js, err := jetstream.New(o.connect(t, b.ClientURL(), o.service(t, RightFleetService)))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(t.Context(), revokedBucket); err != nil {
		t.Fatal(err)
	}
	kv = bucketOf(t, o, b, 1)
	put(t, kv, Revocation{Kind: RevokedIdentity, Value: "n2"})
	await(t, "the second ban", func() bool { return b.knowledge.Revoked.Len() == 2 })
}

// TestRevokeMeetsLogin bans while those who are banned log in: none is left inside.
func TestRevokeMeetsLogin(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	var logins []login
	for i := range 20 {
		logins = append(logins, o.node(t, fmt.Sprintf("n%d", i)))
	}
	var work sync.WaitGroup
	for _, l := range logins {
		work.Go(func() { _, _ = o.dial(t, b.ClientURL(), l) })
		work.Go(func() { b.Revoke(Revocation{Kind: RevokedToken, Value: l.claims.ID}) })
	}
	work.Wait()
	await(t, "all are out", func() bool { return b.fleet.gate.sessions.count()[identity.PurposeNode] == 0 })
	await(t, "nobody is left inside", func() bool { return b.fleet.server.NumClients() == 0 })
}
