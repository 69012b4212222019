package broker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestRightsSuffice does with nats.go what two rights are for, and what they are not for. The others are held in TestH68EachPermissionIsNecessary.
func TestRightsSuffice(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	s := fleetScene(t, o, b)
	admin, err := jetstream.New(o.connect(t, b.ClientURL(), o.client(t, "root", "admin")))
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := admin.KeyValue(t.Context(), "NODES")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nodes.Put(t.Context(), "n1=example", []byte("here")); err != nil {
		t.Fatalf("admin: %v", err)
	}
	client := func(right string) (*nats.Conn, jetstream.JetStream) {
		conn := o.connect(t, b.ClientURL(), o.client(t, "bob", right))
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		return conn, js
	}
	t.Run("token_revoke", func(t *testing.T) {
		conn, js := client("token_revoke")
		revokes(t, s.overlay, conn, js)
	})
}

// revokes asks the services of who may revoke, and holds that nothing is read or written beside them.
func revokes(t *testing.T, service, conn *nats.Conn, js jetstream.JetStream) {
	t.Helper()
	for _, name := range []string{"revoke", "revoked"} {
		subject := ServiceSubject(conn.Opts.Nkey, name)
		if _, err := service.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte("done")) }); err != nil {
			t.Fatal(err)
		}
		flush(t, service)
		if m, err := conn.Request(subject, nil, patience); err != nil || string(m.Data) != "done" {
			t.Errorf("%s does not answer: %v", name, err)
		}
	}
	for _, bucket := range []string{"NODES", revokedBucket} {
		if _, err := js.KeyValue(brief(t), bucket); err == nil {
			t.Errorf("it reads %s", bucket)
		}
	}
	if _, err := js.Publish(brief(t), revokedSubjects+"id.x", nil); err == nil {
		t.Error("it writes what is revoked by itself")
	}
}

// TestClientsAskBelowTheirOwnKey has two clients of one right ask a service, each below its key: neither can speak, or be told, as the other.
func TestClientsAskBelowTheirOwnKey(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	alice, bob, other := o.client(t, "alice", "fleet_view"), o.client(t, "bob", "fleet_view"), o.client(t, "carol", "fleet_operate")
	service := o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	heard := make(chan string, 100)
	if _, err := service.Subscribe(ServiceSubject("*", "*"), func(m *nats.Msg) {
		heard <- m.Subject
		_ = m.Respond([]byte("known"))
	}); err != nil {
		t.Fatal(err)
	}
	flush(t, service)
	conns := map[string]*nats.Conn{"alice": o.connect(t, b.ClientURL(), alice), "bob": o.connect(t, b.ClientURL(), bob), "carol": o.connect(t, b.ClientURL(), other)}
	for _, tt := range []struct {
		who, key, service string
		answered          bool
	}{
		{"alice", alice.key.Public().NKey(), "inventory", true}, {"alice", alice.key.Public().NKey(), "hosts", true},
		{"alice", bob.key.Public().NKey(), "inventory", false}, {"alice", alice.key.Public().NKey(), "unknown", false},
		{"alice", alice.key.Public().NKey(), "inventory.more", false}, {"bob", bob.key.Public().NKey(), "inventory", true},
		{"carol", other.key.Public().NKey(), "inventory", false},
	} {
		wait := patience
		if !tt.answered {
			wait = quietly
		}
		subject := ServiceSubject(tt.key, tt.service)
		m, err := conns[tt.who].Request(subject, nil, wait)
		if got := err == nil && string(m.Data) == "known"; got != tt.answered {
			t.Errorf("%s asks %s: %t, %v", tt.who, subject, got, err)
		}
	}
	for range 3 {
		<-heard
	}
	if len(heard) > 0 {
		t.Errorf("the service hears %s", <-heard)
	}
	overheard, err := conns["alice"].SubscribeSync(ServiceSubject("*", "inventory"))
	if err != nil {
		t.Fatal(err)
	}
	flush(t, conns["alice"])
	say(t, service, ServiceSubject(bob.key.Public().NKey(), "inventory"), "")
	if hears(overheard, false) {
		t.Error("who asks hears what others ask")
	}
}

// TestG46AClientAcknowledgesNothing: an event that a client may see was published with a reply subject, by which the stream acknowledges that it has it. A client that
// answered there would be taken for the stream.
func TestG46AClientAcknowledgesNothing(t *testing.T) {
	o := newOverlay(t)
	answering := startBroker(t, o.config(t), func(e Evidence, k *Knowledge) Decision {
		d := Decide(e, k)
		d.Permissions.Response = permissions(nil, nil).Response
		return d
	})
	for name, tt := range map[string]struct {
		b     *Broker
		heard bool
	}{"where clients may answer": {answering, true}, "as decided": {o.broker(t), false}} {
		t.Run(name, func(t *testing.T) {
			host := o.connect(t, tt.b.ClientURL(), o.service(t, RightFleetService))
			viewer := o.connect(t, tt.b.ClientURL(), o.client(t, "viewer", "fleet_view"))
			events, err := viewer.SubscribeSync("choria.lifecycle.event.>")
			if err != nil {
				t.Fatal(err)
			}
			acknowledged, err := host.SubscribeSync(host.NewInbox())
			if err != nil {
				t.Fatal(err)
			}
			flush(t, host, viewer)
			say(t, host, "choria.lifecycle.event.provisioned.provision_mode_server", acknowledged.Subject)
			m, err := events.NextMsg(patience)
			if err != nil {
				t.Fatal(err)
			}
			say(t, viewer, m.Reply, "")
			if hears(acknowledged, tt.heard) != tt.heard {
				t.Errorf("the client's word is heard: %t", !tt.heard)
			}
		})
	}
}

func brief(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), quietly)
	t.Cleanup(cancel)
	return ctx
}

// TestServicesInProcess connects a host's own services without a network.
func TestServicesInProcess(t *testing.T) {
	o := newOverlay(t)
	// Who is refused in-process waits for it: both ends of a pipe write, until the broker gives up.
	b := o.broker(t, func(c *Config) { c.Limits.WriteDeadline = quietly })
	fleet := o.connect(t, "", o.service(t, RightFleetService), nats.InProcessServer(b.Provider()))
	enrollment := o.connect(t, "", o.service(t, RightEnrollmentService), nats.InProcessServer(b.Provider()))
	node, join := o.node(t, "n1"), o.join(t)
	k := join.key.Public().String()
	for _, tt := range []struct {
		service, asker *nats.Conn
		subject        string
	}{
		{fleet, o.connect(t, b.ClientURL(), node), "node.n1.out.renew"},
		{enrollment, o.connect(t, b.EnrollmentURL(), join), "enroll." + k + ".out.hello"},
	} {
		if _, err := tt.service.QueueSubscribe(tt.subject, "q", func(m *nats.Msg) { _ = m.Respond([]byte("ok")) }); err != nil {
			t.Fatal(err)
		}
		flush(t, tt.service)
		await(t, tt.subject, func() bool {
			m, err := tt.asker.Request(tt.subject, nil, time.Second)
			return err == nil && string(m.Data) == "ok"
		})
	}
	// The accounts are apart: nothing of one is heard in the other.
	spy, err := enrollment.SubscribeSync("node.>")
	if err != nil {
		t.Fatal(err)
	}
	flush(t, enrollment)
	say(t, fleet, "node.n1.in.x", "")
	if hears(spy, false) {
		t.Error("ENROLLMENT hears FLEET")
	}
	if _, err := o.dial(t, "", o.join(t), nats.InProcessServer(b.Provider())); err == nil {
		t.Error("a join token comes in in-process")
	}
	if _, err := o.dial(t, "", node, nats.InProcessServer(b.Provider()), nats.Token("")); err == nil {
		t.Error("somebody comes in in-process without a token")
	}
}

// TestFleetAndUplinkHaveJetStream asks for JetStream in every account, and holds its limits.
func TestFleetAndUplinkHaveJetStream(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, func(c *Config) { c.Limits.JetStream.Streams = 1 })
	for right, want := range map[string]bool{RightFleetService: true, RightEnrollmentService: false, RightUplinkService: true} {
		js, err := jetstream.New(o.connect(t, b.ClientURL(), o.service(t, right)))
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		if !want {
			ctx = brief(t)
		}
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}, MaxBytes: 1 << 20})
		if (err == nil) != want {
			t.Errorf("%s makes a stream: %v", right, err)
		}
		var said *jetstream.APIError
		if _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "B", Subjects: []string{"b"}, MaxBytes: 1 << 20}); want && !errors.As(err, &said) {
			t.Errorf("a second stream: %v", err)
		}
	}
	if c, l := b.fleet.server.JetStreamConfig(), DefaultLimits().JetStream; !c.SyncAlways || c.Domain != "c1" || c.MaxStore != l.Store+l.Uplink || c.MaxMemory != l.Memory {
		t.Errorf("JetStream is configured as %+v", c)
	}
}
