package node_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// denials collects what a broker has told a connection that it may not do.
type denials struct {
	mu    sync.Mutex
	texts []string
}

func (d *denials) note(_ *nats.Conn, _ *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.texts = append(d.texts, strings.ToLower(err.Error()))
	}
}

// of reports whether something was denied for a subject.
func (d *denials) of(action, subject string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, text := range d.texts {
		if strings.Contains(text, action+` to "`+strings.ToLower(subject)+`"`) {
			return true
		}
	}
	return false
}

// raw connects as who holds a token and its key, with nothing of ours between it and the broker.
func raw(t testing.TB, urls []string, token string, key *identity.Key, inbox string, ca string, pins []string) (*nats.Conn, *denials) {
	t.Helper()
	tls, err := identity.PinnedTLS(pins)
	if ca != "" {
		tls, err = identity.CATLS(ca)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &denials{}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.Secure(tls), nats.Token(token), nats.CustomInboxPrefix(inbox), nats.ErrorHandler(d.note),
		nats.Nkey(key.Public().NKey(), func(nonce []byte) ([]byte, error) { return key.Sign(nonce), nil }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, d
}

// joining connects to the enrollment listener with a real join token and a key of one's own.
func joining(t testing.TB, token string) (*nats.Conn, *denials, *identity.Key) {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	claims, err := identity.Inspect(token)
	if err != nil {
		t.Fatal(err)
	}
	conn, d := raw(t, claims.Join.URLs, token, key, "_INBOX."+key.Public().String(), "", claims.Join.Pins)
	return conn, d, key
}

// anything is a broker without authorisation.
func anything(t testing.TB, o *server.Options) string {
	t.Helper()
	o.Host, o.NoLog, o.NoSigs, o.AlwaysEnableNonce = "127.0.0.1", true, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	eventually(t, "the broker listens", func() bool { return s.ReadyForConnections(time.Millisecond) })
	return s.ClientURL()
}

// The subjects of a victim's handshake, K its key. What the overlay or the victim says on them is listened for, and said in their names.
var (
	said      = []string{"enroll.K.out.hello", "enroll.K.in.inventory", "enroll.K.in.challenge", "enroll.K.in.assignment", "enroll.K.in.answer", "_INBOX.K.x.y"}
	listening = []string{
		"enroll.K.out.hello", "enroll.K.in.inventory", "enroll.K.in.challenge", "enroll.K.in.assignment", "enroll.K.in.answer", "enroll.K.in.>",
		"enroll.K.out.>", "enroll.*.in.challenge", "enroll.*.out.hello", "enroll.>", "*.K.>", "_INBOX.K.>", "_INBOX.>", "_INBOX.*.*.*", ">",
	}
	speaking = append([]string{
		"enroll.K.out.event.lifecycle.startup.provision_mode_server", "enroll.all.in.discover", "choria.lifecycle.event.startup.server",
		"choria.lifecycle.event.provisioned.provision_mode_server", "choria.machine.transition", "node.n1=example.out.confirm", "node.n1=example.out.renew",
		"node.n1=example.out.event.lifecycle.startup.server", "node.n1=example.in.operate.reprovision", "overlay.enrolled.n1=example", "$KV.NODES.n1=example",
	}, said...)
)

// TestD23Unprovisioned has an attacker with a real join token at every subject of the handshake of another node, while that takes place.
func TestD23Unprovisioned(t *testing.T) {
	permissive := anything(t, &server.Options{Port: -1})
	c := newCell(t, func(o *overlay.InitOptions) { o.Helper = helper(t, "sleep 1", "echo '{}'") })
	// Whoever listens to everything keeps others from being told that nobody answers, as long as the streams are not there.
	eventually(t, "the streams are there", func() bool { return stateOf(c.host.Host(), "streams") == "steady" })
	events, err := c.operator().SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	attacker, denied, _ := joining(t, c.join)
	victim := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	victim.becomes("pending")
	key := victim.data("public_key").(string)
	fill := func(subject string) string { return strings.ReplaceAll(subject, "K", key) }
	var heard []*nats.Subscription
	for _, subject := range listening {
		subject = fill(subject)
		if !overhears(t, permissive, subject, fill) {
			t.Errorf("nothing can be heard on %s of a broker that allows it", subject)
		}
		sub, err := attacker.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, sub)
		eventually(t, "the broker denies listening to "+subject, func() bool { return denied.of("subscription", subject) })
	}
	for _, subject := range speaking {
		subject = strings.ReplaceAll(subject, "enroll.K", "enroll."+key)
		subject = strings.ReplaceAll(subject, "_INBOX.K", "_INBOX."+key)
		if !arrives(t, permissive, subject) {
			t.Errorf("nothing can be said on %s of a broker that allows it", subject)
		}
		if err := attacker.Publish(subject, []byte(`{"forged": true}`)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the broker denies speaking to "+subject, func() bool { return denied.of("publish", subject) })
	}
	victim.becomes("active")
	for _, sub := range heard {
		if n, _, err := sub.Pending(); err == nil && n > 0 {
			t.Errorf("the attacker has heard %d messages on %s", n, sub.Subject)
		}
	}
	for {
		m, err := events.NextMsg(time.Millisecond)
		if err != nil {
			break
		}
		if strings.Contains(string(m.Data), "forged") {
			t.Errorf("what the attacker said came to %s", m.Subject)
		}
	}
}

// overhears reports whether somebody who listens at a broker gets any of what is said in the victim's handshake.
func overhears(t testing.TB, url, subject string, fill func(string) string) bool {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sub, err := conn.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range said {
		if err := conn.Publish(fill(s), nil); err != nil {
			t.Fatal(err)
		}
	}
	_, err = sub.NextMsg(patience)
	return err == nil
}

// arrives reports whether what one says at a broker comes to another.
func arrives(t testing.TB, url, subject string) bool {
	t.Helper()
	listener, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	speaker, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer speaker.Close()
	sub, err := listener.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(listener.Flush(), speaker.Publish(subject, nil)); err != nil {
		t.Fatal(err)
	}
	_, err = sub.NextMsg(patience)
	return err == nil
}

// lifecycleEvent is a startup event as a node of the identity would publish it.
func lifecycleEvent(t testing.TB, id, component string) []byte {
	t.Helper()
	data, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": uuid.NewString(), "type": "io.choria.lifecycle.v1.startup", "source": "io.choria.lifecycle", "subject": id,
		"datacontenttype": "application/json",
		"data": map[string]any{
			"protocol": "io.choria.lifecycle.v1.startup", "id": uuid.NewString(), "identity": id, "component": component, "timestamp": 1, "version": "raw",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestD23EventsInAnothersName publishes events of another node on the attacker's own subjects, where the broker lets it. They come to nobody,
// unless the overlay's machine does not ask whose they are.
func TestD23EventsInAnothersName(t *testing.T) {
	credulous := override(t, t.TempDir(), "overlay/events", "message.body.subject == replace(message.tokens[1], \"=\", \".\") &&", "true &&",
		"message.body.subject == message.tokens[1] &&", "true &&")
	for name, tt := range map[string]struct {
		machines string
		passes   bool
	}{"with a machine that believes everything": {credulous, true}, "as it is": {"", false}} {
		t.Run(name, func(t *testing.T) {
			c := newCell(t, func(o *overlay.InitOptions) { o.Machines = tt.machines })
			heard, err := c.operator().SubscribeSync("choria.lifecycle.event.startup.*")
			if err != nil {
				t.Fatal(err)
			}
			member := newMember(t, "n2.example", t.TempDir(), c.join, nil)
			member.becomes("active")
			given, err := member.store.Active()
			if err != nil {
				t.Fatal(err)
			}
			own, err := member.store.Key()
			if err != nil {
				t.Fatal(err)
			}
			node, _ := raw(t, given.URLs, given.Token, own, "_INBOX.n2=example", given.CA, nil)
			joiner, _, key := joining(t, c.join)
			k := key.Public().String()
			out, unprovisioned := "node.n2=example.out.event.lifecycle.startup.server", "enroll."+k+".out.event.lifecycle.startup.provision_mode_server"
			for _, err := range []error{
				node.Publish(out, lifecycleEvent(t, "victim.example", "server")), node.Publish(out, lifecycleEvent(t, "n2.example", "server")),
				joiner.Publish(unprovisioned, lifecycleEvent(t, "victim.example", "provision_mode_server")),
				joiner.Publish(unprovisioned, lifecycleEvent(t, k, "provision_mode_server")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			// Events of one node stay in order, so that a forged one would have come before the true one.
			forged, wanted := 0, map[string]bool{`"identity":"` + k + `"`: true, `"identity":"n2.example","protocol":"io.choria.lifecycle.v1.startup","timestamp":1,"version":"raw"`: true}
			for len(wanted) > 0 {
				m, err := heard.NextMsg(patience)
				if err != nil {
					t.Fatalf("events in one's own name do not come, %v: %v", wanted, err)
				}
				if strings.Contains(string(m.Data), "victim.example") {
					forged++
					continue
				}
				for text := range wanted {
					if strings.Contains(string(m.Data), text) {
						delete(wanted, text)
					}
				}
			}
			if tt.passes != (forged == 2) || !tt.passes && forged > 0 {
				t.Errorf("%d events in another's name came through", forged)
			}
		})
	}
}
