package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// scene is an attacker, a victim and the overlay at one broker. Each has an own connection with a real token.
type scene struct {
	t                         testing.TB
	attacker, victim, overlay *nats.Conn
	a, v                      string // the tokens of attacker and victim in subjects
	out                       string // enroll or node
	denied                    atomic.Int64
}

// enrollmentScene is two who join. A permissive broker has the overlay at the enrollment listener, too, as there is no other way in.
func enrollmentScene(t testing.TB, o *overlay, b *Broker, overlayURL string) *scene {
	s := &scene{t: t, out: "enroll"}
	attacker, victim := o.join(t), o.join(t)
	s.a, s.v = attacker.key.Public().String(), victim.key.Public().String()
	s.attacker = o.connect(t, b.EnrollmentURL(), attacker, s.counting())
	s.victim = o.connect(t, b.EnrollmentURL(), victim)
	s.overlay = o.connect(t, overlayURL, o.service(t, RightEnrollmentService))
	return s
}

// fleetScene is two nodes, of which one has a name that the other's begins with.
func fleetScene(t testing.TB, o *overlay, b *Broker) *scene {
	s := &scene{t: t, out: "node", a: "n1=example", v: "n1=example=net"}
	s.attacker = o.connect(t, b.ClientURL(), o.node(t, "n1.example"), s.counting())
	s.victim = o.connect(t, b.ClientURL(), o.node(t, "n1.example.net"))
	s.overlay = o.connect(t, b.ClientURL(), o.service(t, RightFleetService))
	s.buckets()
	return s
}

func (s *scene) counting() nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			s.denied.Add(1)
		}
	})
}

func (s *scene) buckets() {
	js, err := jetstream.New(s.overlay)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range []string{"SPECS", "NODES", "REVOKED"} {
		if _, err := js.CreateOrUpdateKeyValue(s.t.Context(), jetstream.KeyValueConfig{Bucket: name}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func flush(t testing.TB, all ...*nats.Conn) {
	t.Helper()
	for _, c := range all {
		if err := c.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
	}
}

// hears reports whether somebody gets a message within a time that depends on whether it is to come.
func hears(sub *nats.Subscription, expected bool) bool {
	wait := quietly / 2
	if expected {
		wait = patience
	}
	_, err := sub.NextMsg(wait)
	return err == nil
}

// listens is the attack of hearing what is said to and by the victim.
func (s *scene) listens(subject, queue string, expected bool) bool {
	sub, err := s.attacker.QueueSubscribeSync(subject, queue)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	flush(s.t, s.attacker)
	inbox, err := s.victim.SubscribeSync(s.victim.NewInbox())
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = inbox.Unsubscribe() }()
	flush(s.t, s.victim)
	say(s.t, s.victim, s.out+"."+s.v+".out.hello", "")
	for _, subject := range []string{
		s.out + "." + s.v + ".in.challenge", inbox.Subject, "choria.lifecycle.event.startup.server", "fleet.secret.news", "$SYS.news",
	} {
		say(s.t, s.overlay, subject, "")
	}
	return hears(sub, expected)
}

func say(t testing.TB, c *nats.Conn, subject, reply string) {
	t.Helper()
	if err := c.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	flush(t, c)
}

// speaks is the attack of saying what others say. Listener is who would take it for theirs.
func (s *scene) speaks(listener *nats.Conn, subject string, expected bool) bool {
	sub, err := listener.SubscribeSync(subject)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	flush(s.t, listener, s.attacker)
	say(s.t, s.attacker, subject, "")
	return hears(sub, expected)
}

// answers is the attack of answering a request of the victim before the overlay does, with the request's own reply subject.
func (s *scene) answers(expected bool) bool {
	inbox := s.victim.NewInbox()
	sub, err := s.victim.SubscribeSync(inbox)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	flush(s.t, s.victim)
	say(s.t, s.attacker, inbox, "")
	return hears(sub, expected)
}

// asks is the attack of asking what is not the attacker's to ask.
func (s *scene) asks(subject string, expected bool) bool {
	wait := quietly / 2
	if expected {
		wait = patience
	}
	_, err := s.attacker.Request(subject, nil, wait)
	return err == nil
}

// leads is the attack of asking JetStream, and leading its answer to a subject of others.
func (s *scene) leads(to string, expected bool) bool {
	sub, err := s.overlay.SubscribeSync(to)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	flush(s.t, s.overlay)
	if err := s.attacker.PublishRequest("$JS.API.DIRECT.GET.KV_SPECS.$KV.SPECS.none", to, nil); err != nil {
		s.t.Fatal(err)
	}
	flush(s.t, s.attacker)
	return hears(sub, expected)
}

// attack tries something and reports whether it succeeded. Expected only says how long it is worth waiting.
type attack struct {
	name string
	try  func(s *scene, expected bool) bool
}

func listening(subject, queue string) attack {
	return attack{"listen to " + subject + " " + queue, func(s *scene, expected bool) bool { return s.listens(s.fill(subject), queue, expected) }}
}

func speaking(to, subject string) attack {
	return attack{"say " + subject, func(s *scene, expected bool) bool {
		listener := s.overlay
		if to == "victim" {
			listener = s.victim
		}
		return s.speaks(listener, s.fill(subject), expected)
	}}
}

func asking(subject string) attack {
	return attack{"ask " + subject, func(s *scene, expected bool) bool { return s.asks(subject, expected) }}
}

func leading(to string) attack {
	return attack{"lead JetStream's answer to " + to, func(s *scene, expected bool) bool { return s.leads(s.fill(to), expected) }}
}

func (s *scene) fill(subject string) string { return strings.ReplaceAll(subject, "VICTIM", s.v) }

// attacks are those that a join token and a node's token have in common.
func attacks(out string) []attack {
	return []attack{
		listening(out+".VICTIM.in.>", ""), listening(out+".*.in.>", ""), listening(out+".VICTIM.out.>", ""), listening(out+".>", ""),
		listening(">", ""), listening("*.*.in.challenge", ""), listening("_INBOX.VICTIM.>", ""), listening("_INBOX.>", ""),
		listening("_INBOX.*.*", ""), listening(out+".*.out.hello", "provisioner"), listening("choria.lifecycle.event.>", ""),
		{"answer a request", func(s *scene, expected bool) bool { return s.answers(expected) }},
		speaking("overlay", out+".VICTIM.out.hello"), speaking("victim", out+".VICTIM.in.assignment"),
		speaking("overlay", "choria.lifecycle.event.startup.server"), speaking("overlay", "choria.machine.transition"),
	}
}

func enrollmentAttacks() []attack {
	return append(attacks("enroll"), speaking("victim", "enroll.all.in.moved"), speaking("overlay", "node.VICTIM.out.alive"))
}

func fleetAttacks() []attack {
	return append(attacks("node"),
		listening("fleet.secret.>", ""), speaking("victim", "fleet.mcollective.news"), speaking("overlay", "node.VICTIM.out.renew"),
		speaking("victim", "node.VICTIM.in.operate.stop"), speaking("overlay", "$KV.NODES.VICTIM"), speaking("overlay", "$KV.REVOKED.identity.VICTIM"),
		speaking("overlay", "enroll.VICTIM.out.hello"), speaking("overlay", "node.n1=exampl.out.x"), listening("$SYS.>", ""),
		asking("$SYS.REQ.USER.INFO"), asking("$SYS.REQ.ACCOUNT.PING.CONNZ"), asking("$JS.API.INFO"), asking("$JS.API.STREAM.NAMES"),
		asking("$JS.API.STREAM.INFO.KV_NODES"), asking("$JS.API.STREAM.PURGE.KV_NODES"), asking("$JS.API.DIRECT.GET.KV_SPECS.x"),
		leading("node.VICTIM.in.operate.stop"), leading("choria.lifecycle.event.x.y"), leading("$KV.NODES.VICTIM"), leading("$KV.REVOKED.identity.VICTIM"),
	)
}

// run tries every attack: each succeeds where everything is allowed, or the test could not fail, and none does where Decide decides.
func run(t *testing.T, all []attack, permissive, real *scene) {
	for _, a := range all {
		t.Run(a.name, func(t *testing.T) {
			permissive.t, real.t = t, t
			if !a.try(permissive, true) {
				t.Fatal("it does not even succeed at a broker that allows everything")
			}
			if a.try(real, false) {
				t.Error("it succeeds")
			}
		})
	}
	if real.denied.Load() == 0 {
		t.Error("the broker has denied nothing")
	}
}

func TestD23JoinTokensReachNobodyElse(t *testing.T) {
	o := newOverlay(t)
	b, p := o.broker(t), o.permissive(t)
	all := enrollmentAttacks()
	// Of the permissive broker's accounts ENROLLMENT is the one that those who join are in.
	permissive, real := enrollmentScene(t, o, p, p.EnrollmentURL()), enrollmentScene(t, o, b, b.ClientURL())
	run(t, all, permissive, real)
}

func TestD23NodesReachNobodyElse(t *testing.T) {
	o := newOverlay(t)
	run(t, fleetAttacks(), fleetScene(t, o, o.permissive(t)), fleetScene(t, o, o.broker(t)))
}

// TestD23JetStreamDeletesForWhoMayOnlyRead shows why nodes may ask JetStream nothing: with permission to read one bucket and nothing
// else, an empty answer is led to where streams are deleted.
func TestD23JetStreamDeletesForWhoMayOnlyRead(t *testing.T) {
	o := newOverlay(t)
	reading := startBroker(t, o.config(t), func(e Evidence, k *Knowledge) Decision {
		d := Decide(e, k)
		d.Permissions.Publish.Allow = append(d.Permissions.Publish.Allow, "$JS.API.DIRECT.GET.KV_SPECS.>")
		return d
	})
	for name, tt := range map[string]struct {
		b    *Broker
		gone bool
	}{"with the permission": {reading, true}, "as decided": {o.broker(t), false}} {
		t.Run(name, func(t *testing.T) {
			s := fleetScene(t, o, tt.b)
			if err := s.attacker.PublishRequest("$JS.API.DIRECT.GET.KV_SPECS.none", "$JS.API.STREAM.DELETE.KV_REVOKED", nil); err != nil {
				t.Fatal(err)
			}
			flush(t, s.attacker, s.overlay)
			js, err := jetstream.New(s.overlay)
			if err != nil {
				t.Fatal(err)
			}
			is := func() bool {
				_, err := js.Stream(t.Context(), "KV_REVOKED")
				return errors.Is(err, jetstream.ErrStreamNotFound)
			}
			if tt.gone {
				await(t, "the stream is deleted", is)
				return
			}
			await(t, "the broker denies it", func() bool { return s.denied.Load() > 0 })
			if is() {
				t.Error("the stream is deleted")
			}
		})
	}
}

// TestD23OwnSubjectsWork holds the permissions against being too narrow: all that a node and who joins need goes through.
func TestD23OwnSubjectsWork(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	fleet, enrollment := fleetScene(t, o, b), enrollmentScene(t, o, b, b.ClientURL())
	for _, s := range []*scene{fleet, enrollment} {
		t.Run(s.out, func(t *testing.T) {
			asked, err := s.overlay.Subscribe(s.out+".*.out.>", func(m *nats.Msg) { _ = m.Respond([]byte("answer")) })
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = asked.Unsubscribe() }()
			told, err := s.victim.Subscribe(s.out+"."+s.v+".in.>", func(m *nats.Msg) { _ = m.Respond([]byte("proof")) })
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = told.Unsubscribe() }()
			flush(t, s.overlay, s.victim)
			await(t, "interest of the overlay", func() bool {
				m, err := s.victim.Request(s.out+"."+s.v+".out.hello", nil, time.Second)
				return err == nil && string(m.Data) == "answer"
			})
			await(t, "interest of the node", func() bool {
				m, err := s.overlay.Request(s.out+"."+s.v+".in.challenge", nil, time.Second)
				return err == nil && string(m.Data) == "proof"
			})
			for _, broadcast := range map[string][]string{"node": {"fleet.mcollective.x"}, "enroll": {"enroll.all.in.x"}}[s.out] {
				sub, err := s.victim.SubscribeSync(broadcast)
				if err != nil {
					t.Fatal(err)
				}
				flush(t, s.victim)
				await(t, broadcast, func() bool {
					say(t, s.overlay, broadcast, "")
					return hears(sub, false)
				})
			}
		})
	}
}

// TestD23AnswersAreFew holds what a request lets its receiver say: one message to where it was asked, and nothing else.
func TestD23AnswersAreFew(t *testing.T) {
	o := newOverlay(t)
	s := fleetScene(t, o, o.broker(t))
	asked := make(chan *nats.Msg, 1)
	if _, err := s.attacker.Subscribe("node."+s.a+".in.ask", func(m *nats.Msg) { asked <- m }); err != nil {
		t.Fatal(err)
	}
	inbox, err := s.overlay.SubscribeSync(s.overlay.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	flush(t, s.attacker, s.overlay)
	say(t, s.overlay, "node."+s.a+".in.ask", inbox.Subject)
	m := <-asked
	for range 3 {
		say(t, s.attacker, m.Reply, "")
	}
	if !hears(inbox, true) {
		t.Fatal("the first answer does not come")
	}
	if hears(inbox, false) {
		t.Error("a second answer comes")
	}
}

// TestD23FakeBrokerGetsNoSecret connects to a listener whose certificate is of another authority: nothing is sent to it.
func TestD23FakeBrokerGetsNoSecret(t *testing.T) {
	o, fake := newOverlay(t), newOverlay(t)
	b := fake.permissive(t)
	for _, url := range []string{b.ClientURL(), b.EnrollmentURL()} {
		if _, err := o.dial(t, url, o.join(t)); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v, want that its certificate is not trusted", url, err)
		}
	}
	counted := gather(t, b)
	if n := slices.IndexFunc(counted, func(line string) bool {
		return strings.Contains(line, "logins_total") && !strings.Contains(line, "listener=leaf")
	}); n >= 0 {
		t.Errorf("the fake broker was shown credentials: %s", counted[n])
	}
	if _, err := fake.dial(t, b.ClientURL(), o.join(t)); err != nil {
		t.Errorf("who trusts the fake broker does not reach it either: %v", err)
	}
	if fmt.Sprint(counted) == fmt.Sprint(gather(t, b)) {
		t.Error("what was shown to the fake broker is not counted")
	}
}
