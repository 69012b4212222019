package broker

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

// askedHosts is where an operator asks the hosts of the cell.
var askedHosts = ServiceSubject("U", "hosts")

// leafScene is a cell that is connected to a hostile region.
type leafScene struct {
	t              *testing.T
	o              *overlay
	b              *Broker
	there          *nats.Conn // who does everything in the region that it likes
	host, operator *nats.Conn
	inbox          string // of the operator
	fleet, uplink  jetstream.JetStream
}

// leafAttack is what a region tries. Account is the one that its leafnode must belong to for it to succeed.
type leafAttack struct {
	name, account string
	succeeds      func(s *leafScene) bool
}

func leafAttacks() []leafAttack {
	return []leafAttack{
		{"hears answers", AccountFleet, func(s *leafScene) bool {
			return s.hearsThere("_INBOX.>", func() { _, _ = s.operator.Request(askedHosts, nil, patience) })
		}},
		{"hears what nodes are told", AccountFleet, func(s *leafScene) bool {
			return s.hearsThere("node.>", func() { say(s.t, s.host, "node.n1.in.operate.x", "") })
		}},
		{"hears advisories", AccountFleet, func(s *leafScene) bool {
			return s.hearsThere("$JS.EVENT.>", func() { _, _ = s.fleet.UpdateStream(s.t.Context(), jetstream.StreamConfig{Name: "JOBS"}) })
		}},
		{"says something into an inbox", AccountFleet, func(s *leafScene) bool { return s.saysHere(s.operator, s.inbox+".x") }},
		{"commands a node", AccountFleet, func(s *leafScene) bool { return s.saysHere(s.host, "node.n1.in.operate.x") }},
		{"tells lists", AccountFleet, func(s *leafScene) bool { return s.saysHere(s.host, "fleet.specs.x") }},
		{"says that a node is there", AccountFleet, func(s *leafScene) bool { return s.saysHere(s.host, "choria.lifecycle.event.alive.server") }},
		{"asks to enroll", AccountFleet, func(s *leafScene) bool { return s.saysHere(s.host, "enroll.x.out.introduction") }},
		{"asks a service", AccountFleet, func(s *leafScene) bool { return s.asks(askedHosts) }},
		{"has a service write into the register", AccountFleet, func(s *leafScene) bool {
			say(s.t, s.there, "$SRV.PING", "$KV.NODES.ping")
			return s.registered("ping")
		}},
		{"has its answer written into the register", AccountFleet, func(s *leafScene) bool {
			say(s.t, s.there, askedHosts, "$KV.NODES.answer")
			return s.registered("answer")
		}},
		{"writes into the register", AccountFleet, func(s *leafScene) bool {
			say(s.t, s.there, "$JS.c1.API.$KV.NODES.written", "")
			return s.registered("written")
		}},
		{"asks about the register", AccountFleet, func(s *leafScene) bool { return s.asks("$JS.c1.API.STREAM.INFO.KV_NODES") }},
		{"reads the register", AccountFleet, func(s *leafScene) bool { return s.asks("$JS.c1.API.DIRECT.GET.KV_NODES.$KV.NODES.there") }},
		{"asks about the account", AccountFleet, func(s *leafScene) bool { return s.asks("$JS.c1.API.INFO") }},
		{"deletes a stream", AccountFleet, func(s *leafScene) bool { return s.asks("$JS.c1.API.STREAM.DELETE.JOBS") }},

		{"asks about a stream that leaves", AccountUplink, func(s *leafScene) bool { return s.asks("$JS.c1.API.STREAM.INFO.OUT") }},
		{"reads one that is not for it", AccountUplink, func(s *leafScene) bool { return s.asks("$JS.c1.API.STREAM.MSG.GET.OTHER") }},
		{"begins anew another's consumer", AccountUplink, func(s *leafScene) bool { return s.asks("$JS.c1.API.CONSUMER.RESET.OTHER.other") }},
		{"deletes its consumer", AccountUplink, func(s *leafScene) bool { return s.asks("$JS.c1.API.CONSUMER.DELETE.OUT.emea") }},
		{"purges it", AccountUplink, func(s *leafScene) bool { return s.asks("$JS.c1.API.STREAM.PURGE.OTHER") }},
		{"deletes it", AccountUplink, func(s *leafScene) bool { return s.asks("$JS.c1.API.STREAM.DELETE.OTHER") }},
		{"makes another", AccountUplink, func(s *leafScene) bool { return s.asks("$JS.c1.API.STREAM.CREATE.MADE") }},
		{"stores what the cell has not said", AccountUplink, func(s *leafScene) bool {
			say(s.t, s.there, "out.OUT.x", "")
			out, err := s.uplink.Stream(s.t.Context(), "OUT")
			return err == nil && out.CachedInfo().State.Msgs > 0
		}},
	}
}

// hearsThere reports whether the region hears a subject when something is done.
func (s *leafScene) hearsThere(subject string, when func()) bool {
	sub, err := s.there.SubscribeSync(subject)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	flush(s.t, s.there)
	when()
	return hears(sub, false)
}

// saysHere reports whether somebody of the cell hears what the region says.
func (s *leafScene) saysHere(who *nats.Conn, subject string) bool {
	sub, err := who.SubscribeSync(subject)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	flush(s.t, who)
	say(s.t, s.there, subject, "")
	return hears(sub, false)
}

// asks reports whether the region is answered.
func (s *leafScene) asks(subject string) bool {
	_, err := s.there.Request(subject, []byte(`{"name": "MADE", "max_bytes": 1000}`), quietly)
	return err == nil
}

// registered reports whether the register has a key.
func (s *leafScene) registered(key string) bool {
	nodes, err := s.fleet.KeyValue(s.t.Context(), "NODES")
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = nodes.Get(s.t.Context(), key)
	return err == nil
}

// newLeafScene makes a cell with a leafnode that belongs to an account, or to its own where that is "".
func newLeafScene(t *testing.T, account string) *leafScene {
	t.Helper()
	o, r := newOverlay(t), startRegion(t, "emea", newForms, everythingGranted())
	b := o.broker(t, func(c *Config) {
		l := r.leafnode("OUT")
		l.Out, l.In = []string{"region.news.>", "choria.machine.>"}, []string{"region.notice.>"}
		c.Leafnodes, c.Enrollment = []Leafnode{l}, ""
		c.options = func(opts *server.Options) {
			if account != "" {
				opts.LeafNode.Remotes[0].LocalAccount = account
			}
		}
	})
	operator := o.client(t, "operator", "admin")
	s := &leafScene{t: t, o: o, b: b, there: r.connect(), inbox: operator.inbox()}
	s.host, s.operator = o.connect(t, b.ClientURL(), o.service(t, RightFleetService)), o.connect(t, b.ClientURL(), operator)
	s.fleet, s.uplink = streamOf(t, s.host), o.uplink(t, b)
	connectedLeafnodes(t, b)
	_, err := micro.AddService(s.host, micro.Config{Name: "hosts", Version: "1.0.0", Endpoint: &micro.EndpointConfig{
		Subject: askedHosts, Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.Respond([]byte("{}")) }),
	}})
	if err == nil {
		_, err = s.fleet.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS"})
	}
	var nodes jetstream.KeyValue
	if err == nil {
		nodes, err = s.fleet.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "NODES"})
	}
	if err == nil {
		_, err = nodes.PutString(t.Context(), "there", "{}")
	}
	if err != nil {
		t.Fatal(err)
	}
	offers(t, s.uplink, "OUT", "emea", "c1", 1, 0)
	offers(t, s.uplink, "OTHER", "other", "c1", 1, 1)
	return s
}

// A region hears, says and asks nothing but what is listed. All of it is possible first, where its leafnode belongs to the account of the fleet, or to that
// of the streams that leave the cell.
func TestH70ARegionHearsSaysAndAsksNothingElse(t *testing.T) {
	for _, account := range []string{AccountFleet, AccountUplink, ""} {
		t.Run("leafnode in "+account, func(t *testing.T) {
			s := newLeafScene(t, account)
			for _, a := range leafAttacks() {
				switch {
				case account == a.account:
					await(t, a.name, func() bool { return a.succeeds(s) })
				case account == "" && a.succeeds(s):
					t.Errorf("a region %s", a.name)
				}
			}
			if account == "" {
				s.passes()
			}
		})
	}
}

// passes shows that what is listed passes, in its direction only and once.
func (s *leafScene) passes() {
	for _, subject := range []string{"region.news.x", "choria.machine.transition"} {
		await(s.t, subject+" is heard there", func() bool { return s.hearsThere(subject, func() { say(s.t, s.host, subject, "") }) })
		if s.saysHere(s.host, subject) {
			s.t.Errorf("%s comes in", subject)
		}
	}
	await(s.t, "what is said there is heard here", func() bool { return s.saysHere(s.operator, "region.notice.x") })
	if s.hearsThere("region.notice.x", func() { say(s.t, s.host, "region.notice.x", "") }) {
		s.t.Error("region.notice.x goes out")
	}
	if s.asks("region.notice.x") {
		s.t.Error("somebody answers")
	}
	await(s.t, "its consumer begins anew", func() bool {
		m, err := s.there.Request("$JS.c1.API.CONSUMER.RESET.OUT.emea", nil, quietly)
		var answer struct{ Name string }
		return err == nil && json.Unmarshal(m.Data, &answer) == nil && answer.Name == "emea"
	})
}

// What a list may not have.
func TestH70WhatNeverPassesIsRefusedInTheList(t *testing.T) {
	for subject, want := range map[string][2]bool{ // out, in
		"region.>": {true, true}, "choria.machine.>": {true, false}, "overlay.event.>": {true, false}, "jobs.>": {true, false}, "audit.x": {true, false},
		"_INBOX.>": {}, "_R_.x": {}, "$SRV.>": {}, "$JS.API.>": {}, "$JS.FC.>": {}, "$KV.NODES.>": {}, "$O.BUNDLES.>": {}, "$SYS.>": {}, "consumers.acks.>": {}, "node.*.in.x": {}, "enroll.>": {},
		"fleet.specs.>": {}, "client.*.out.hosts": {}, "to.x": {}, ">": {}, "*": {}, "*.NODES.x": {}, "": {}, "a..b": {}, "a b": {}, "region.>.x": {},
	} {
		for i, l := range []Leafnode{{Out: []string{subject}}, {In: []string{subject}}} {
			l.Region, l.URLs = "emea", []string{"tls://cell:secret@region:7422"}
			if err := l.Check("c1"); (err == nil) != want[i] {
				t.Errorf("%q in list %d: %v", subject, i, err)
			}
		}
	}
	for _, name := range []string{"", "A.B", "*", ">", "A B"} {
		if err := (&Leafnode{Region: "emea", URLs: []string{"tls://r:1"}, Streams: []string{name}}).Check("c1"); err == nil {
			t.Errorf("stream %q is taken", name)
		}
	}
}
