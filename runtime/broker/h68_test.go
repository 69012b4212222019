package broker

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// serverSubjects are all subjects that nats-server names for JetStream, read from its source, so that a later one has a later list. They are filled with
// the stream KV_NODES, as are its acknowledgements and flow control.
func serverSubjects(t *testing.T) []string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-io/nats-server/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "server", "jetstream_api.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, v := range spec.Values {
			literal, ok := v.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				continue
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || !strings.HasPrefix(text, "$JS.") {
				continue
			}
			words := strings.Split(strings.TrimSuffix(text, "."), ".")
			stream := true // the first word that is left open is a stream's name
			for i, w := range words {
				switch {
				case w != "*" && w != ">" && w != "%s":
				case stream:
					words[i], stream = "KV_NODES", false
				default:
					words[i] = "x"
				}
			}
			seen[strings.Join(words, ".")] = true
		}
		return true
	})
	var all []string
	for subject := range seen {
		all = append(all, subject)
	}
	slices.Sort(all)
	for _, known := range []string{
		"$JS.API.STREAM.DELETE.KV_NODES", "$JS.API.DIRECT.GET.KV_NODES.x", "$JS.API.CONSUMER.CREATE.KV_NODES.x.x", "$JS.API.META.LEADER.STEPDOWN", "$JS.ACK.KV_NODES.x",
		"$JS.API.CONSUMER.MSG.NEXT.KV_NODES.x", "$JS.FC.KV_NODES.x.x", "$JS.API.ACCOUNT.PURGE.KV_NODES",
	} {
		if !slices.Contains(all, known) {
			t.Fatalf("nats-server's source is read amiss: %s is not among %q", known, all)
		}
	}
	return all
}

// othersSubjects are those of a cell that no client may speak on.
func othersSubjects(other string) []string {
	return []string{
		"$SRV.PING", "$SRV.INFO", "$SRV.STATS", "$SRV.PING.nodes", "$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.SERVER.PING",
		"$KV.NODES.victim", "$KV.REVOKED.identity.victim", "$KV.SPECS.spec.default", "$O.BUNDLES.C.x", "$O.BUNDLES.M.x", "$JS.API.DIRECT.GET.KV_NODES.$KV.NODES.victim",
		"$MQTT.msgs.x", "node.victim.in.operate.reprovision", "node.victim.in.assignment", "node.victim.out.renew", "enroll.victim.out.hello", "fleet.specs.spec.default",
		"fleet.main.news", "overlay.enrolled.victim", "overlay.event.health", "overlay.hosts.query", "overlay.inventory.query", "choria.lifecycle.event.startup.server",
		"choria.machine.transition", "discovery.victim", "audit.x", "jobs.x", "submit.x", inbox(other)[:len(inbox(other))-1] + "x", ServiceSubject(other, "nodes"),
		"_R_.x", "client", "client." + other,
	}
}

// ledTo are reply subjects by which an answer would do harm.
func ledTo(other string) []string {
	return []string{
		"$KV.NODES.victim", "$KV.REVOKED.identity.victim", "$JS.API.STREAM.DELETE.KV_NODES", "$JS.API.STREAM.PURGE.KV_NODES",
		"node.victim.in.operate.reprovision", "choria.lifecycle.event.x.y", "discovery.victim", inbox(other)[:len(inbox(other))-1] + "x",
	}
}

// walk says all of it, by a connection, and returns what of it, and of the answers, is heard in the account.
func walk(t *testing.T, attacker, overlay *nats.Conn, subjects, replies []string) (heard map[string]bool) {
	t.Helper()
	spy, err := overlay.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = spy.Unsubscribe() }()
	if err := spy.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	flush(t, overlay)
	for _, subject := range subjects {
		for _, reply := range append(replies, "") {
			if err := attacker.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	flush(t, attacker)
	const end = "test.end"
	say(t, overlay, end, "")
	heard = map[string]bool{}
	for {
		m, err := spy.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == end {
			return heard
		}
		if !strings.HasPrefix(m.Subject, "$JS.EVENT.") || string(m.Data) == "{}" { // advisories of what the streams do by themselves
			heard[m.Subject] = true
		}
	}
}

// heldRights are all but admin's.
func heldRights() []Right {
	return slices.DeleteFunc(Rights(), func(r Right) bool { return r.Name == "admin" })
}

// walked is who walks: a right of a client, or another purpose.
func (o *overlay) walked(t *testing.T) map[string]login {
	all := map[string]login{
		"a client without rights": o.client(t, "none"), "a node": o.node(t, "n1.example"),
		"a node whose token has ended": o.node(t, "n1.example", expiring(time.Now().Add(-time.Minute))),
	}
	for _, r := range heldRights() {
		all["the right "+r.Name] = o.client(t, "bob", r.Name)
	}
	return all
}

// TestH68NoRightReachesJetStreamOrOthers has each right of a client, and each other purpose, say every subject of the server's API and of others, with replies led
// to where they would do harm. At a broker that lets everybody do everything each is heard, and the answers are; as decided nothing is, and nothing changes.
func TestH68NoRightReachesJetStreamOrOthers(t *testing.T) {
	o := newOverlay(t)
	other := newKey(t).Public().NKey()
	subjects, replies := append(serverSubjects(t), othersSubjects(other)...), ledTo(other)
	scene := func(b *Broker) (overlay *nats.Conn, js jetstream.JetStream) {
		s := fleetScene(t, o, b)
		js, err := jetstream.New(s.overlay)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"choria.lifecycle.event.>", "discovery.>"}}); err != nil {
			t.Fatal(err)
		}
		return s.overlay, js
	}
	p := o.permissive(t)
	everywhere, _ := scene(p)
	// What is said destroys what answers: its subjects come one after another, and are made anew where they are gone.
	heard := walk(t, o.connect(t, p.ClientURL(), o.client(t, "bob", "fleet_view")), everywhere, subjects, replies)
	for _, subject := range append(slices.Clone(subjects), replies...) {
		if !heard[subject] {
			t.Errorf("%s is not even heard at a broker that allows everything", subject)
		}
	}
	b := o.broker(t)
	overlay, js := scene(b)
	before := contents(t, js)
	for name, l := range o.walked(t) {
		t.Run(name, func(t *testing.T) {
			for subject := range walk(t, o.connect(t, b.ClientURL(), l), overlay, subjects, replies) {
				t.Errorf("%s is heard", subject)
			}
		})
	}
	if after := contents(t, js); !slices.Equal(before, after) {
		t.Errorf("the streams were %q, and are %q", before, after)
	}
}

// contents are the streams with their numbers.
func contents(t *testing.T, js jetstream.JetStream) (all []string) {
	t.Helper()
	list := js.ListStreams(t.Context())
	for info := range list.Info() {
		all = append(all, strings.Join([]string{
			info.Config.Name, strconv.FormatUint(info.State.Msgs, 10), strconv.FormatUint(info.State.LastSeq, 10), strconv.Itoa(info.State.Consumers), info.Created.String(),
		}, " "))
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// TestH68RightsOpenNoSubjectWithoutAGuard holds the table of rights itself.
func TestH68RightsOpenNoSubjectWithoutAGuard(t *testing.T) {
	for _, r := range heldRights() {
		if len(r.Publish) > 0 {
			t.Errorf("%s publishes to %q: let it ask a service", r.Name, r.Publish)
		}
		for _, subject := range r.Subscribe {
			if first, _, _ := strings.Cut(subject, "."); strings.HasPrefix(first, "$") || strings.HasPrefix(first, "_") || strings.ContainsAny(first, "*>") ||
				slices.Contains([]string{"node", "client", "enroll"}, first) {
				t.Errorf("%s hears %s", r.Name, subject)
			}
		}
		for _, service := range r.Services {
			// What goes on behind a service's name is the service's own to guard.
			if service = strings.TrimSuffix(strings.TrimSuffix(service, ".>"), ".*"); service == "" || strings.ContainsAny(service, ".*> ") {
				t.Errorf("%s asks %q, which is not one word", r.Name, service)
			}
		}
		for _, subject := range r.Own {
			if !slices.Contains(strings.Split(subject, "."), "KEY") || strings.ContainsAny(subject[:1], "$_*>") {
				t.Errorf("%s publishes to %s, which is not the client's own", r.Name, subject)
			}
		}
	}
}

// use is something that a purpose's permissions are for.
type use struct {
	name string
	does func(s *useScene) bool
}

// useScene is somebody whose permissions are tried, and the overlay.
type useScene struct {
	t           *testing.T
	it, overlay *nats.Conn
}

// asksAt is that a request is answered.
func asksAt(subject string) use {
	return use{"ask " + subject, func(s *useScene) bool {
		sub, err := s.overlay.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte("ok")) })
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		flush(s.t, s.overlay)
		m, err := s.it.Request(subject, nil, 2*quietly)
		return err == nil && string(m.Data) == "ok"
	}}
}

// hearsAt is that what the overlay says is heard.
func hearsAt(subject string) use {
	return use{"hear " + subject, func(s *useScene) bool {
		sub, err := s.it.SubscribeSync(subject)
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		flush(s.t, s.it)
		say(s.t, s.overlay, subject, "")
		_, err = sub.NextMsg(2 * quietly)
		return err == nil
	}}
}

// answersAt is that a request of the overlay is answered.
func answersAt(subject string) use {
	return use{"answer " + subject, func(s *useScene) bool {
		sub, err := s.it.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte("ok")) })
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		flush(s.t, s.it)
		m, err := s.overlay.Request(subject, nil, 2*quietly)
		return err == nil && string(m.Data) == "ok"
	}}
}

// purposesInUse are those of tokens, with what each is for.
func purposesInUse(t *testing.T, o *overlay) map[string]struct {
	login    login
	listener Listener
	uses     []use
} {
	t.Helper()
	type purpose = struct {
		login    login
		listener Listener
		uses     []use
	}
	join := o.join(t)
	k := join.key.Public().String()
	all := map[string]purpose{
		"a node": {o.node(t, "n1.example"), ListenerFleet, []use{
			asksAt("node.n1=example.out.renew"), answersAt("node.n1=example.in.operate.reprovision"), hearsAt("fleet.specs.spec.default"), hearsAt("fleet.mcollective.news"),
		}},
		"a node whose token has ended": {o.node(t, "n2.example", expiring(time.Now().Add(-time.Minute))), ListenerFleet, []use{asksAt("node.n2=example.out.renew")}},
		"a join token": {join, ListenerEnrollment, []use{
			asksAt("enroll." + k + ".out.hello"), asksAt("enroll." + k + ".out.hello." + join.claims.ID), asksAt("enroll." + k + ".out.event.startup"), answersAt("enroll." + k + ".in.challenge"), hearsAt("enroll.all.in.moved"),
		}},
	}
	for _, r := range heldRights() {
		l := o.client(t, "bob", r.Name)
		var uses []use
		for _, service := range r.Services {
			uses = append(uses, asksAt(strings.NewReplacer(">", "x", "*", "x").Replace(ServiceSubject(l.key.Public().NKey(), service))))
		}
		for _, subject := range r.Own {
			uses = append(uses, asksAt(strings.NewReplacer("KEY", l.key.Public().NKey(), "*", "1", ">", "x").Replace(subject)))
		}
		for _, subject := range r.Subscribe {
			uses = append(uses, hearsAt(strings.Replace(subject, ">", "x", 1)))
		}
		all["the right "+r.Name] = purpose{l, ListenerFleet, uses}
	}
	return all
}

// TestH68EachPermissionIsNecessary takes each permission of each purpose away, one at a time: something that the purpose is for does not work then.
func TestH68EachPermissionIsNecessary(t *testing.T) {
	o := newOverlay(t)
	var mu sync.Mutex
	var without string // what is taken away from whoever comes in next
	var taken bool
	b := startBroker(t, o.config(t), func(e Evidence, k *Knowledge) Decision {
		d := Decide(e, k)
		mu.Lock()
		defer mu.Unlock()
		if e.Claims == nil || e.Claims.Purpose == identity.PurposeService || without == "" || d.Refused != "" {
			return d
		}
		change := func(list []string, kind string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(s string) bool { hit := kind+s == without; taken = taken || hit; return hit })
		}
		p := *d.Permissions
		p.Publish, p.Subscribe = only(change(p.Publish.Allow, "publish ")), only(change(p.Subscribe.Allow, "subscribe "))
		if without == "answers" {
			taken = p.Response != nil
			p.Response = nil
		}
		d.Permissions = &p
		return d
	})
	overlays := map[Listener]*nats.Conn{
		ListenerFleet: o.connect(t, b.ClientURL(), o.service(t, RightFleetService)), ListenerEnrollment: o.connect(t, b.ClientURL(), o.service(t, RightEnrollmentService)),
	}
	for name, purpose := range purposesInUse(t, o) {
		t.Run(name, func(t *testing.T) {
			url := b.ClientURL()
			if purpose.listener == ListenerEnrollment {
				url = b.EnrollmentURL()
			}
			works := func(take string) (failed []string) {
				mu.Lock()
				without, taken = take, false
				mu.Unlock()
				s := &useScene{t: t, it: o.connect(t, url, purpose.login), overlay: overlays[purpose.listener]}
				defer s.it.Close()
				for _, u := range purpose.uses {
					if !u.does(s) {
						failed = append(failed, u.name)
						if take != "" {
							return failed
						}
					}
				}
				return failed
			}
			await(t, "all that it is for works", func() bool { return len(works("")) == 0 })
			e := Evidence{Listener: purpose.listener, Kind: KindClient, Key: purpose.login.key.Public(), Signed: true, Now: time.Now()}
			knowledge := &Knowledge{Verifier: identity.NewVerifier(o.root.Key.Public()), Revoked: NewRevocations(), Cell: "c1", Limits: DefaultLimits()}
			e.Claims, e.TokenErr = knowledge.Examine(purpose.login.token, e.Now)
			p := Decide(e, knowledge).Permissions
			all := []string{}
			for _, s := range p.Publish.Allow {
				all = append(all, "publish "+s)
			}
			for _, s := range p.Subscribe.Allow {
				all = append(all, "subscribe "+s)
			}
			if p.Response != nil {
				all = append(all, "answers")
			}
			for _, take := range all {
				failed := works(take)
				mu.Lock()
				if !taken || len(failed) == 0 {
					t.Errorf("without %q everything works (taken: %t)", take, taken)
				}
				mu.Unlock()
			}
		})
	}
}
