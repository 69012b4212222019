package messaging

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers"
)

func TestSubscribe(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	a := listening(t, p, nil, "subscribe", "subject: 'news.*'\nwhere: message.body.n > 1 && message.tokens[1] != 'old'")
	for subject, body := range map[string]string{"news.a": `{"n": 1}`, "news.old": `{"n": 9}`, "other.a": `{"n": 9}`} {
		publish(t, p, subject, body)
	}
	publish(t, p, "news.b", "no mapping") // where has no answer
	publish(t, p, "news.b", `{"n": 2}`)
	r := a.await("success")
	want := map[string]any{
		"subject": "news.b", "tokens": []any{"news", "b"}, "reply": "", "headers": map[string]any{}, "body": map[string]any{"n": 2},
	}
	if diff := cmp.Diff(want, r.Payload); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{"subject": "news.*", "success": 1, "refused": 3}, r.State); diff != "" || !r.Quiet {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	a.stop()
	publish(t, p, "news.b", `{"n": 2}`)
	a.quiet()
	eventually(t, "the subscription is gone", func() bool { return wait(t, p, "fleet").NumSubscriptions() == 0 })
}

func TestSubscribeUnreadable(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	a := listening(t, p, nil, "subscribe", "subject: news")
	publish(t, p, "news", "\xff\xfe")
	if r := a.await(outcomeUnreadable); !strings.Contains(r.Message, "UTF-8") || r.Payload["subject"] != "news" {
		t.Errorf("binary: %+v", r)
	}
	publish(t, p, "news", strings.Repeat("x", 70_000))
	if r := a.await(outcomeUnreadable); !strings.Contains(r.Message, "70000 bytes, the limit is 65536") || r.State[outcomeUnreadable] != 2 {
		t.Errorf("too large: %+v", r)
	}
	publish(t, p, "news", "fine")
	a.await("success")
}

// TestUnmappedOutcomesAreReportedLessAndLess, as nothing comes of them but that they are seen.
func TestUnmappedOutcomesAreReportedLessAndLess(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	a := listening(t, p, nil, "subscribe", "subject: news")
	for range 100 {
		publish(t, p, "news", "\xff")
	}
	publish(t, p, "news", "last")
	for _, n := range []int{1, 2, 4, 8, 16, 32, 64} {
		if r := a.await(outcomeUnreadable); r.State[outcomeUnreadable] != n {
			t.Errorf("reported at %v, want %d", r.State, n)
		}
	}
	if r := a.await("success"); r.State[outcomeUnreadable] != 100 {
		t.Errorf("counted %v, want 100", r.State)
	}
}

func TestSubscribeQueue(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	properties := "subject: news\nqueue: '{{ lookup \"machine\" }}'"
	one, two := listening(t, p, nil, "subscribe", properties), listening(t, p, nil, "subscribe", properties)
	for i := range 200 {
		publish(t, p, "news", fmt.Sprint(i))
	}
	eventually(t, "all are taken", func() bool { return len(one.reports)+len(two.reports) == 200 })
	if len(one.reports) == 0 || len(two.reports) == 0 {
		t.Errorf("one takes %d, the other %d", len(one.reports), len(two.reports))
	}
}

func TestListenerFollowsItsConnection(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	a := listen(t, p, nil, "subscribe", "subject: news") // before there is a connection
	for range 3 {
		leave := keep(t, p, "fleet")
		eventually(t, "it listens", func() bool { return wait(t, p, "fleet").NumSubscriptions() == 1 })
		publish(t, p, "news", "1")
		if r := <-a.reports; r.Outcome == outcomeListening {
			a.await("success")
		} else if r.Outcome != "success" {
			t.Fatalf("reports %+v", r)
		}
		leave()
		eventually(t, "the connection is closed", func() bool { _, err := p.Conn(node, "fleet"); return err != nil && b.srv.NumClients() == 0 })
	}
	b.stop()
	b.start()
	keep(t, p, "fleet")
	eventually(t, "it listens", func() bool { return wait(t, p, "fleet").NumSubscriptions() == 1 })
	publish(t, p, "news", "1")
	a.await("success")
	a.quiet()
}

func TestListenerOutlivesItsBroker(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	a := listening(t, p, nil, "subscribe", "subject: news")
	b.stop()
	eventually(t, "the loss is seen", func() bool { _, err := p.Conn(node, "fleet"); return err != nil })
	b.start()
	publish(t, p, "news", "1")
	a.await("success")
	a.quiet()
}

// forbidding lets clients subscribe to some subjects only.
func forbidding(t *testing.T, allowed ...string) (*broker, *Pool) {
	t.Helper()
	b := startBroker(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Allow: append(allowed, "_INBOX.>")},
		}}}
	})
	p := newPool(t, always(&Credentials{URLs: []string{strings.Replace(b.url(), "nats://", "nats://u:p@", 1)}}))
	keep(t, p, "fleet")
	return b, p
}

func TestSubscriptionThatIsNotPermitted(t *testing.T) {
	_, p := forbidding(t, "mine.>")
	for typ, properties := range map[string]string{
		"subscribe": "subject: theirs", "spawn": "template: t\nkey: machine\nsubject: theirs",
		"service": "name: n\nsubject: theirs\nreply: 1\nmicro: false",
	} {
		if r := listen(t, p, &spawner{}, typ, properties).end(); r.Outcome != "fail" || !strings.Contains(r.Message, "does not permit") {
			t.Errorf("%s: %+v", typ, r)
		}
	}
	listening(t, p, nil, "subscribe", "subject: mine.a")
	if r := listen(t, p, nil, "service", "name: n\nsubject: mine.a\nreply: 1").end(); r.Outcome != "fail" || !strings.Contains(r.Message, "micro: false") {
		t.Errorf("micro without the right for it: %+v", r)
	}
}

// TestOverflowIsReported: what a listener cannot take is counted, never dropped in silence.
func TestOverflowIsReported(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	in, err := newInlet(t.Context(), p, newLook(), intake{connection: "fleet", subject: watchers.PlainText("news"), pending: 10}, map[string]bool{"success": true}, func(watchers.Report) {})
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan watchers.Report, 1000)
	in.emit = func(r watchers.Report) { reports <- r }
	hold, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		in.listen(in.plain(func(m *nats.Msg) {
			<-hold
			in.tell("success", watchers.Report{Payload: map[string]any{"body": string(m.Data)}})
			in.caughtUp()
		}, (*nats.Subscription).Unsubscribe))
	}()
	a := &activation{t: t, reports: reports}
	a.await(outcomeListening)
	for i := range 100 {
		publish(t, p, "news", fmt.Sprint(i))
	}
	close(hold)
	if taken := a.accountsFor(100); taken < 10 || taken > 11 {
		t.Errorf("%d are taken, 10 may wait", taken)
	}
}

// accountsFor waits until every one of many messages was either taken or reported as dropped, and returns how many were taken.
func (a *activation) accountsFor(many int) (taken int) {
	a.t.Helper()
	dropped := 0
	for taken+dropped != many {
		select {
		case r := <-a.reports:
			if r.Outcome != outcomeOverflowed {
				taken++
			} else if dropped, _ = r.Payload["dropped"].(int); dropped == 0 {
				a.t.Fatalf("reports %+v", r)
			}
		case <-time.After(patience):
			a.t.Fatalf("%d taken and %d dropped are not %d", taken, dropped, many)
		}
	}
	if dropped == 0 {
		a.t.Fatal("nothing was dropped")
	}
	return taken
}

func TestForward(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet", "enrollment")
	heard := hear(t, b, "choria.>")
	a := listening(t, p, nil, "subscribe", `
subject: node.*.out.event.>
connection: enrollment
where: message.body.identity == replace(message.tokens[1], '=', '.')
forward: {subject: "'choria.' + join(message.tokens[4:], '.')"}
`)
	conn := b.client()
	send := func(subject, body string) {
		t.Helper()
		m := &nats.Msg{Subject: subject, Data: []byte(body), Header: nats.Header{
			"K": {"v", "w"}, "Nats-Rollup": {"all"}, "nats-msg-id": {"other"}, "Nats-Expected-Stream": {"EVENTS"},
		}}
		if err := errors.Join(conn.PublishMsg(m), conn.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	large := `{"identity": "n1.example", "text": "` + strings.Repeat("x", 200_000) + `"}`
	for _, body := range []string{`{"identity": "n1.example"}`, large} {
		send("node.n1=example.out.event.machine.transition", body)
		m := next(t, heard)
		if m.Subject != "choria.machine.transition" || string(m.Data) != body {
			t.Errorf("passes on %s, %d bytes", m.Subject, len(m.Data))
		}
		if diff := cmp.Diff(nats.Header{"K": {"v", "w"}}, m.Header); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
		a.await(outcomeForwarded)
	}
	send("node.n2=example.out.event.a", `{"identity": "n1.example"}`)
	if r := a.await(outcomeRefused); r.Payload["subject"] != "node.n2=example.out.event.a" {
		t.Errorf("another's identity: %+v", r)
	}
	send("node.n2=example.out.event.a", "text")
	if r := a.await(outcomeRefused); !strings.Contains(r.Message, "where") {
		t.Errorf("no answer: %+v", r)
	}
	select {
	case m := <-heard:
		t.Errorf("passes on %s %s", m.Subject, m.Data)
	default:
	}
}

func TestForwardWithAnotherBody(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	heard := hear(t, b, "out.>")
	listening(t, p, nil, "subscribe", "subject: in.>\nforward: {subject: message.body.to, body: '{from: message.subject, n: data.n}'}")
	publish(t, p, "in.a", `{"to": "out.a"}`)
	if m := next(t, heard); m.Subject != "out.a" || string(m.Data) != `{"from":"in.a","n":7}` {
		t.Errorf("passes on %s %s", m.Subject, m.Data)
	}
}

// TestForwardThatCannot: what a message says is no failure of the machine, a connection that is not there is one.
func TestForwardThatCannot(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	a := listening(t, p, nil, "subscribe", "subject: in\nforward: {subject: message.body.to, connection: region}")
	for _, body := range []string{`{"to": 7}`, `{"to": "a.*"}`, "text", "\xff"} {
		publish(t, p, "in", body)
	}
	for range 3 { // the 1st, 2nd and 4th
		a.await(outcomeUnreadable)
	}
	for range 5 {
		publish(t, p, "in", `{"to": "out"}`)
	}
	if r := a.await("fail"); !strings.Contains(r.Message, `"region" is not connected`) {
		t.Errorf("without a connection: %+v", r)
	}
	for range 4 { // the 8th comes after the other four that cannot be passed on
		publish(t, p, "in", "text")
	}
	a.await(outcomeUnreadable)
	keep(t, p, "region")
	publish(t, p, "in", `{"to": "out"}`)
	if r := a.await(outcomeForwarded); r.State["fail"] != 5 {
		t.Errorf("counted %v, want 5 that could not be passed on", r.State)
	}
	a.quiet()
}

func TestListenerEndsWhileTheBrokerIsSilent(t *testing.T) {
	b := startBroker(t)
	x := newProxy(t, b)
	p := newPool(t, always(&Credentials{URLs: []string{x.url()}}))
	keep(t, p, "fleet")
	a := listening(t, p, nil, "subscribe", "subject: news")
	x.silence()
	eventually(t, "it tries again", func() bool { return x.accepted.Load() > 1 })
	start := time.Now()
	a.stop()
	if took := time.Since(start); took > 5*time.Second { // the library would wait for twice as long
		t.Errorf("ends after %s", took)
	}
}
