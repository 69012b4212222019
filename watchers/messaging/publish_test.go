package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/watchers"
)

// hear subscribes a client of the test's own.
func hear(t testing.TB, b *broker, subject string) <-chan *nats.Msg {
	t.Helper()
	conn, heard := b.client(), make(chan *nats.Msg, 1<<12)
	if _, err := conn.ChanSubscribe(subject, heard); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return heard
}

func next(t testing.TB, heard <-chan *nats.Msg) *nats.Msg {
	t.Helper()
	select {
	case m := <-heard:
		return m
	case <-time.After(patience):
		t.Fatal("nothing is heard")
		return nil
	}
}

func TestPublish(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet", "other")
	heard := hear(t, b, ">")
	for _, tt := range []struct{ properties, subject, body string }{
		{"subject: a", "a", ""},
		{"subject: 'a.{{ lookup \"token\" }}'\nbody: data.text", "a.n1=example", "hello"},
		{"subject: a\nbody: '{n: data.n, s: \"<\"}'", "a", `{"n":7,"s":"<"}`},
		{"subject: a\npayload: 'n is {{ lookup \"data.n\" 0 }}'\nconnection: other", "a", "n is 7"},
		{"subject: a\nbody: nil", "a", ""},
	} {
		r := check(t, p, nil, "publish", tt.properties)
		if diff := cmp.Diff(map[string]any{"subject": tt.subject, "bytes": len(tt.body)}, r.Payload); r.Outcome != "success" || diff != "" {
			t.Errorf("%s: %q %s (-want +got):\n%s", tt.properties, r.Outcome, r.Message, diff)
			continue
		}
		if m := next(t, heard); m.Subject != tt.subject || string(m.Data) != tt.body {
			t.Errorf("%s: sent %s %q", tt.properties, m.Subject, m.Data)
		}
	}
	check(t, p, nil, "publish", "subject: a\nheaders: {K: 'x {{ lookup \"identity\" }}'}\nttl_seconds: 60")
	if diff := cmp.Diff(nats.Header{"K": {"x n1.example"}, "Nats-TTL": {"60"}}, next(t, heard).Header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestPublishFails(t *testing.T) {
	b := startBroker(t, func(o *server.Options) {
		o.MaxPayload = 1024
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"mine.>"}},
		}}}
	})
	c := &Credentials{URLs: []string{strings.Replace(b.url(), "nats://", "nats://u:p@", 1)}}
	p := newPool(t, always(c))
	keep(t, p, "fleet")
	if r := check(t, p, nil, "publish", "subject: mine.a"); r.Outcome != "success" {
		t.Errorf("what is permitted: %+v", r)
	}
	for properties, want := range map[string]string{
		"subject: theirs.a":                                      "does not permit",
		"subject: a\nconnection: none":                           `the connection "none" is not connected`,
		"subject: '{{ lookup \"data.reply\" \"\" }}'":            "empty word",
		"subject: 'a.{{ lookup \"data.wild\" \"*\" }}'":          "wildcard",
		"subject: mine.a\nbody: data.n.m":                        "making the body",
		"subject: mine.a\nbody: 'message.body'":                  "making the body",
		"subject: mine.a\npayload: " + strings.Repeat("x", 2000): "maximum payload",
		"subject: mine.a\nacknowledged: true":                    "streams",
	} {
		if r := check(t, p, nil, "publish", properties); r.Outcome != "fail" || !strings.Contains(r.Message, want) {
			t.Errorf("%s: %q %s, want %q", properties, r.Outcome, r.Message, want)
		}
	}
	b.stop()
	eventually(t, "the loss is seen", func() bool { _, err := p.Conn(node, "fleet"); return err != nil })
	if r := check(t, p, nil, "publish", "subject: mine.a"); r.Outcome != "fail" || !strings.Contains(r.Message, "not connected") {
		t.Errorf("without a broker: %+v", r)
	}
}

func TestPublishToAStream(t *testing.T) {
	b := startBroker(t, func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
	p := kept(t, b, "fleet")
	js, err := jetstream.New(b.client())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "NEWS", Subjects: []string{"news.>"}}); err != nil {
		t.Fatal(err)
	}
	const properties = "subject: news.a\nbody: '1'\nacknowledged: true\nheaders: {Nats-Msg-Id: one}"
	for _, duplicate := range []bool{false, true} {
		r := check(t, p, nil, "publish", properties)
		want := map[string]any{"subject": "news.a", "bytes": 1, "stream": "NEWS", "sequence": 1, "duplicate": duplicate}
		if diff := cmp.Diff(want, r.Payload); diff != "" {
			t.Errorf("%q %s (-want +got):\n%s", r.Outcome, r.Message, diff)
		}
	}
}

func TestPublishesCloudEvents(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	heard := hear(t, b, "events")
	const attributes = "subject: events\nevent: {type: io.test.v1, source: 'io.test.{{ lookup \"machine\" }}'}\n"
	ids := map[string]bool{}
	for _, tt := range []struct{ body, want string }{
		{"body: '{n: data.n}'", `{"n":7}`}, {"body: data.text", `"hello"`}, {"payload: '{\"a\": 1}'", `{"a":1}`}, {"payload: plain", `"plain"`}, {"", ""},
	} {
		if r := check(t, p, nil, "publish", attributes+tt.body); r.Outcome != "success" {
			t.Fatalf("%s: %+v", tt.body, r)
		}
		var e event.Event
		if err := json.Unmarshal(next(t, heard).Data, &e); err != nil {
			t.Fatal(err)
		}
		if err := e.Validate(); err != nil {
			t.Errorf("%s: %v", tt.body, err)
		}
		if e.Type() != "io.test.v1" || e.Source() != "io.test.m" || e.Subject() != node || !e.Time().Equal(newLook().At) || ids[e.ID()] {
			t.Errorf("%s: %v", tt.body, e)
		}
		ids[e.ID()] = true
		if string(e.Data()) != tt.want {
			t.Errorf("%s: the data is %s, want %s", tt.body, e.Data(), tt.want)
		}
	}
}

func TestGossip(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	heard := hear(t, b, ">")
	r := check(t, p, nil, "gossip", "subject: 'web.{{ lookup \"identity\" }}'\npayload: up")
	if m := next(t, heard); m.Subject != "node.n1=example.out.gossip.web.n1.example" || string(m.Data) != "up" {
		t.Errorf("sent %s %s", m.Subject, m.Data)
	}
	want := map[string]any{
		"previous_subject": "node.n1=example.out.gossip.web.n1.example", "previous_payload": "up", "previous_gossip": newLook().At.Unix(),
	}
	if diff := cmp.Diff(want, r.State); diff != "" || !r.Quiet {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	check(t, p, nil, "gossip", "registration: {cluster: lon, service: web, protocol: http, ip: 192.0.2.7, port: 80, priority: 3, annotations: {Rack: '4'}}")
	m := next(t, heard)
	if m.Subject != "node.n1=example.out.gossip.choria.hoist.lon.web.member.http.192.0.2.7.P.80.3" || string(m.Data) != "1" || m.Header.Get("Rack") != "4" {
		t.Errorf("registered %s %s %v", m.Subject, m.Data, m.Header)
	}
	check(t, p, nil, "publish", "registration: {cluster: lon, service: web, protocol: http, ip: 192.0.2.7, port: 80, prefix: p}")
	if m := next(t, heard); m.Subject != "p.lon.web.member.http.192.0.2.7.P.80.0" {
		t.Errorf("registered %s", m.Subject)
	}
	typ := typeOf(t, Types(p, nil), "gossip")
	for name, want := range map[string]time.Duration{"gossip": 15 * time.Second, "publish": 0} {
		if prepared, _ := typ.Prepare(specOf(t, name, "subject: a\npayload: x")); prepared.Interval != want {
			t.Errorf("%s comes every %s, want %s", name, prepared.Interval, want)
		}
	}
}

func TestRequest(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	for subject, answer := range map[string]*nats.Msg{
		"good": {Data: []byte(`{"ok": true, "n": 1}`), Header: nats.Header{"K": {"v"}}}, "bad": {Data: []byte(`{"ok": false}`)}, "text": {Data: []byte("plain")},
		"error": {Header: nats.Header{"Nats-Service-Error-Code": {"403"}, "Nats-Service-Error": {"refused"}}, Data: []byte("more")},
		"large": {Data: []byte(strings.Repeat("x", 70_000))}, "binary": {Data: []byte{0xff}},
	} {
		if _, err := conn.Subscribe(subject, func(m *nats.Msg) { _ = m.RespondMsg(&nats.Msg{Data: answer.Data, Header: answer.Header}) }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Subscribe("echo", func(m *nats.Msg) { _ = m.RespondMsg(&nats.Msg{Data: m.Data, Header: m.Header}) }); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		properties, outcome string
		body                any
		says                string
	}{
		{"subject: good\naccept: message.body.ok && message.headers.K == 'v'", "success", map[string]any{"ok": true, "n": 1}, ""},
		{"subject: bad\naccept: message.body.ok", "rejected", map[string]any{"ok": false}, "accept"},
		{"subject: bad", "success", map[string]any{"ok": false}, ""},
		{"subject: text", "success", "plain", ""},
		{"subject: text\naccept: message.body.ok", "fail", nil, "accept"},
		{"subject: good\naccept: message.body.n", "fail", nil, "not true or false"},
		{"subject: good\nunchanged_when: message.body.n == 1", "unchanged", map[string]any{"ok": true, "n": 1}, ""},
		{"subject: good\nunchanged_when: message.body.n == data.n", "success", map[string]any{"ok": true, "n": 1}, ""},
		{"subject: bad\naccept: message.body.ok\nunchanged_when: 'true'", "rejected", map[string]any{"ok": false}, "accept"},
		{"subject: text\nunchanged_when: message.body.n == 1", "fail", nil, "unchanged_when"},
		{"subject: echo\nbody: '{n: data.n}'\nheaders: {Who: '{{ lookup \"identity\" }}'}\naccept: message.headers.Who == identity", "success", map[string]any{"n": 7}, ""},
		{"subject: nobody", "unanswered", nil, "nobody listens"},
		{"subject: large", "fail", nil, "too large"},
		{"subject: binary", "fail", nil, "UTF-8"},
		{"subject: good\nconnection: none", "fail", nil, "not connected"},
		{"subject: good\nbody: data.n.m", "fail", nil, "making the body"},
	} {
		r := check(t, p, nil, "request", tt.properties)
		if diff := cmp.Diff(tt.body, r.Payload["body"]); r.Outcome != tt.outcome || diff != "" || !strings.Contains(r.Message, tt.says) {
			t.Errorf("%s: %q %s, want %q (-want +got):\n%s", tt.properties, r.Outcome, r.Message, tt.outcome, diff)
		}
	}
	r := check(t, p, nil, "request", "subject: error")
	if diff := cmp.Diff(map[string]any{"code": "403", "error": "refused"}, r.Payload); r.Outcome != "refused" || diff != "" {
		t.Errorf("an error is %q (-want +got):\n%s", r.Outcome, diff)
	}
}

func TestCancelledRequestReturnsAtOnce(t *testing.T) {
	b := startBroker(t)
	hear(t, b, "ignored")
	for name, silent := range map[string]bool{"connected": false, "while nats.go keeps its lock": true} {
		x := newProxy(t, b)
		p := newPool(t, always(&Credentials{URLs: []string{x.url()}}))
		keep(t, p, "fleet")
		ctx, cancel := context.WithCancel(t.Context())
		w := newWatcher(t, p, nil, "request", "subject: ignored").(watchers.Checker)
		done := make(chan watchers.Report, 1)
		before := b.srv.NumSubscriptions()
		go func() { done <- w.Check(ctx, newLook()) }()
		eventually(t, "it waits for the reply", func() bool { return b.srv.NumSubscriptions() > before })
		if silent {
			x.silence()
			eventually(t, "it tries again", func() bool { return x.accepted.Load() > 1 })
		}
		cancel()
		select {
		case r := <-done:
			if r.Outcome != "fail" {
				t.Errorf("%s: %+v", name, r)
			}
		case <-time.After(time.Second):
			t.Fatalf("%s: does not return", name)
		}
		p.Close()
	}
}

func TestWithin(t *testing.T) {
	wrong := errors.New("wrong")
	if v, err := within(t.Context(), func() (int, error) { return 7, wrong }); v != 7 || !errors.Is(err, wrong) {
		t.Errorf("gives %d, %v", v, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hold := make(chan struct{})
	if v, err := within(ctx, func() (int, error) { <-hold; return 7, nil }); v != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled it gives %d, %v", v, err)
	}
	close(hold)
}
