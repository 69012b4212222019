package messaging

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

const relaying = `
name: operate
subject: client.*.out.operate
inbox: '"_INBOX." + message.tokens[1] + "."'
where: message.body.word != "no"
relay:
  subject: '"node." + message.body.node + ".in.operate." + message.body.word'
  body: '{by: message.tokens[1], reason: message.body.reason ?? ""}'
  timeout: 200ms
  limit: 1
`

// relayTest is a service that relays to the node n1, and a client that asks it.
type relayTest struct {
	t       *testing.T
	conn    *nats.Conn
	service *activation
	release chan struct{} // closed when the word late is answered
}

func newRelayTest(t *testing.T) *relayTest {
	t.Helper()
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	release := make(chan struct{})
	for word, answer := range map[string]func(m *nats.Msg){
		"echo": func(m *nats.Msg) { _ = m.Respond(m.Data) },
		"deny": func(m *nats.Msg) {
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {"403"}, micro.ErrorHeader: {"not now"}, "Nats-Rollup": {"all"}}})
		},
		"never": func(*nats.Msg) {},
		"late":  func(m *nats.Msg) { <-release; _ = m.Respond([]byte("late")) },
	} {
		if _, err := conn.Subscribe("node.n1.in.operate."+word, answer); err != nil {
			t.Fatal(err)
		}
	}
	a := listening(t, p, nil, "service", relaying)
	t.Cleanup(a.stop)
	return &relayTest{t: t, conn: conn, service: a, release: release}
}

// request asks as the client UA.
func (r *relayTest) request(body string) *nats.Msg {
	r.t.Helper()
	reply, err := r.conn.SubscribeSync("_INBOX.UA.1")
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = reply.Unsubscribe() }()
	if err := r.conn.PublishRequest("client.UA.out.operate", "_INBOX.UA.1", []byte(body)); err != nil {
		r.t.Fatal(err)
	}
	m, err := reply.NextMsg(patience)
	if err != nil {
		r.t.Fatalf("%s is not answered: %v", body, err)
	}
	return m
}

func TestServiceRelays(t *testing.T) {
	r := newRelayTest(t)
	for _, tt := range []struct{ body, data, denial string }{
		{`{"node": "n1", "word": "echo", "reason": "moved", "by": "somebody else"}`, `{"by":"UA","reason":"moved"}`, ""},
		{`{"node": "n1", "word": "deny"}`, "", "403 not now"},
		{`{"node": "n2", "word": "echo"}`, "", "502 nobody listens to node.n2.in.operate.echo"},
		{`{"node": "n1", "word": "never"}`, "", "504 no answer from node.n1.in.operate.never within 200ms"},
		{`{"node": "n1", "word": "no"}`, "", "403 refused"},
		{`{"node": "n1", "word": "a b"}`, "", "500 the request cannot be served"},
		{`{"node": "*", "word": "echo"}`, "", "500 the request cannot be served"},
		{`{"node": "` + strings.Repeat("n", 2000) + `", "word": "echo"}`, "", "500 the request cannot be served"},
	} {
		m := r.request(tt.body)
		if string(m.Data) != tt.data || refusal(m) != tt.denial {
			t.Errorf("%.60s: %q, %q", tt.body, m.Data, refusal(m))
		}
		if m.Header.Get("Nats-Rollup") != "" {
			t.Errorf("%.60s: a header of the answer is handed on: %v", tt.body, m.Header)
		}
	}
}

// TestServiceRelaysNoMoreThanItMay has one request wait, which is as many as may, and one whose answer is to go elsewhere.
func TestServiceRelaysNoMoreThanItMay(t *testing.T) {
	r := newRelayTest(t)
	if err := r.conn.PublishRequest("client.UB.out.operate", "_INBOX.UB.1", []byte(`{"node": "n1", "word": "late"}`)); err != nil {
		t.Fatal(err)
	}
	if got := refusal(r.request(`{"node": "n1", "word": "echo"}`)); got != "429 busy" {
		t.Errorf("one too many: %q", got)
	}
	eventually(t, "it says that it is full", func() bool {
		select {
		case report := <-r.service.reports:
			return report.Outcome == outcomeFull
		default:
			return false
		}
	})
	close(r.release)
	eventually(t, "there is room again", func() bool {
		return string(r.request(`{"node": "n1", "word": "echo"}`).Data) == `{"by":"UA","reason":""}`
	})
	// An answer that is to go elsewhere is not even asked for.
	heard, err := r.conn.SubscribeSync("node.n3.in.operate.echo")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.conn.PublishRequest("client.UA.out.operate", "_INBOX.UB.1", []byte(`{"node": "n3", "word": "echo"}`)); err != nil {
		t.Fatal(err)
	}
	r.request(`{"node": "n1", "word": "echo"}`)
	if n, _, err := heard.Pending(); n > 0 || err != nil {
		t.Errorf("a request whose answer is led astray is passed on (%v)", err)
	}
}

// TestARelayHasRoomForEachWhoAsks has one client wait for as many answers as one may, and over a quota: another is served, and the service goes on.
func TestARelayHasRoomForEachWhoAsks(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	release := make(chan struct{})
	for word, answer := range map[string]func(m *nats.Msg){
		"late": func(m *nats.Msg) { <-release; _ = m.Respond([]byte("late")) },
		"echo": func(m *nats.Msg) { _ = m.Respond([]byte("yes")) },
	} {
		if _, err := conn.Subscribe("node.n1.in.operate."+word, answer); err != nil {
			t.Fatal(err)
		}
	}
	a := listening(t, p, nil, "service", strings.NewReplacer("where: message.body.word != \"no\"\n", "quota: [{by: \"message.tokens[1]\", rate: 1/h, burst: 40}]\n",
		"  timeout: 200ms\n  limit: 1\n", "  timeout: 30s\n  limit: 40\n  for: message.tokens[1]\n  limit_for: 10\n").Replace(relaying))
	answers, err := conn.SubscribeSync("_INBOX.UB.>")
	if err != nil {
		t.Fatal(err)
	}
	const asked = 60
	for i := range asked {
		if err := conn.PublishRequest("client.UB.out.operate", fmt.Sprintf("_INBOX.UB.%d", i), []byte(`{"node": "n1", "word": "late"}`)); err != nil {
			t.Fatal(err)
		}
	}
	for range asked - 10 {
		if m, err := answers.NextMsg(patience); err != nil || refusal(m) != "429 busy" {
			t.Fatalf("one that is too many: %v, %v", m, err)
		}
	}
	r := &relayTest{t: t, conn: conn, service: a}
	if m := r.request(`{"node": "n1", "word": "echo"}`); string(m.Data) != "yes" {
		t.Errorf("another who asks: %q, %q", m.Data, refusal(m))
	}
	close(release)
	for range 10 {
		if m, err := answers.NextMsg(patience); err != nil || string(m.Data) != "late" {
			t.Fatalf("one that had room: %v, %v", m, err)
		}
	}
	select {
	case r := <-a.ended:
		t.Errorf("the service has ended: %+v", r)
	default:
	}
}
