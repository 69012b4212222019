package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers"
)

func ask(t testing.TB, conn *nats.Conn, subject, body string) *nats.Msg {
	t.Helper()
	m, err := conn.Request(subject, []byte(body), patience)
	if err != nil {
		t.Fatalf("asking %s: %v", subject, err)
	}
	return m
}

// refusal is what an error reply says, "" for another.
func refusal(m *nats.Msg) string {
	return strings.TrimSpace(m.Header.Get(micro.ErrorCodeHeader) + " " + m.Header.Get(micro.ErrorHeader))
}

func TestServiceAnswers(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	for _, kind := range []string{"micro: true", "micro: false"} {
		a := listening(t, p, nil, "service", kind+`
name: adder
subject: 'add.{{ lookup "token" }}.*'
where: message.tokens[2] != 'secret'
reply: "{sum: message.body.a + message.body.b, who: identity}"
`)
		for _, tt := range []struct{ subject, body, want, outcome string }{
			{"add.n1=example.x", `{"a": 1, "b": 2}`, `{"sum":3,"who":"n1.example"}`, "success"},
			{"add.n1=example.secret", `{"a": 1, "b": 2}`, "403 refused", outcomeRefused},
			{"add.n1=example.x", `{"a": 1}`, "500 the request cannot be served", outcomeUnreadable},
			{"add.n1=example.x", "\xff", "400 " + errBinary.Error(), outcomeUnreadable},
			{"add.n1=example.x", strings.Repeat("x", 70_000), "413 ", ""},
			{"add.n1=example.x", `{"a": 3, "b": 4}`, `{"sum":7,"who":"n1.example"}`, "success"},
		} {
			m := ask(t, conn, tt.subject, tt.body)
			got := refusal(m)
			if got == "" {
				got = string(m.Data)
			}
			if got != tt.want && !(strings.HasSuffix(tt.want, " ") && strings.HasPrefix(got, tt.want)) {
				t.Errorf("%s: %s %.40q is answered with %q, want %q", kind, tt.subject, tt.body, got, tt.want)
			}
			if tt.outcome != "" {
				a.await(tt.outcome)
			}
		}
		if err := conn.Publish("add.n1=example.x", []byte(`{"a": 1, "b": 2}`)); err != nil { // nobody waits for the answer
			t.Fatal(err)
		}
		a.await("success")
		a.stop()
	}
}

// TestServiceSaysWhyItRefuses by the property refusal, which takes what it gives no text for.
func TestServiceSaysWhyItRefuses(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	listening(t, p, nil, "service", "name: adder\nsubject: add\nrefusal: 'message.body.a < 0 ? \"a is below zero: \" + string(message.body.a) : \"\"'\nreply: message.body.a")
	for body, want := range map[string]string{
		`{"a": 1}`: "", `{"a": -1}`: "403 a is below zero: -1", `{"a": "x"}`: "500 " + cannotServe,
	} {
		if got := refusal(ask(t, conn, "add", body)); got != want {
			t.Errorf("%s is answered with %q, want %q", body, got, want)
		}
	}
}

func TestServiceIsKnownToMicro(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	a := listening(t, p, nil, "service", "name: adder\nsubject: add\nwhere: message.body != 'no'\nreply: 1")
	for _, body := range []string{"yes", "no", "yes"} {
		ask(t, conn, "add", body)
	}
	var info micro.Info
	if err := json.Unmarshal(ask(t, conn, "$SRV.INFO.adder", "").Data, &info); err != nil {
		t.Fatal(err)
	}
	want := micro.Info{
		Type: micro.InfoResponseType, Description: "watcher w of machine m",
		ServiceIdentity: micro.ServiceIdentity{Name: "adder", ID: info.ID, Version: "1.2.3", Metadata: map[string]string{"machine": "m", "watcher": "w", "identity": node}},
		Endpoints:       []micro.EndpointInfo{{Name: "adder", Subject: "add", QueueGroup: "adder"}},
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
	var stats micro.Stats
	if err := json.Unmarshal(ask(t, conn, "$SRV.STATS.adder", "").Data, &stats); err != nil {
		t.Fatal(err)
	}
	if e := stats.Endpoints[0]; e.NumRequests != 3 || !strings.Contains(string(e.Data), `"refused":1`) || !strings.Contains(string(e.Data), `"success":2`) {
		t.Errorf("stats: %+v", e)
	}
	a.stop()
	eventually(t, "it is gone", func() bool {
		_, err := conn.Request("$SRV.PING.adder", nil, patience)
		return err != nil
	})
}

// TestServiceWaitsForThePublish is a machine that answers by itself.
func TestServiceWaitsForThePublish(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	a := listening(t, p, nil, "service", "name: asker\nsubject: ask\nmicro: false")
	answers := make(chan string, 1)
	go func() {
		m, err := conn.Request("ask", []byte(`{"n": 1}`), patience)
		if err != nil {
			answers <- err.Error()
			return
		}
		answers <- string(m.Data)
	}()
	r := a.await("success")
	look := newLook()
	look.Data = map[string]any{"reply": r.Payload["reply"]}
	w := newWatcher(t, p, nil, "publish", "subject: '{{ lookup \"data.reply\" \"\" }}'\nbody: '\"done\"'")
	msg, err := w.(*publisher).message(look)
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), wait(t, p, "fleet"), msg); err != nil {
		t.Fatal(err)
	}
	if got := <-answers; got != "done" {
		t.Errorf("answered with %q", got)
	}
}

func TestServiceSpawns(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	s := &spawner{}
	a := listening(t, p, s, "service", "name: jobs\nsubject: 'jobs.*'\nspawn: {template: job, key: message.body.id, limit: 2}")
	request := func(body string) string {
		t.Helper()
		m, err := conn.Request("jobs.run", []byte(body), patience)
		if err != nil {
			t.Fatal(err)
		}
		return refusal(m)
	}
	start := func(id string) {
		t.Helper()
		if err := conn.PublishRequest("jobs.run", "_INBOX.answers."+id, []byte(`{"id": "`+id+`"}`)); err != nil {
			t.Fatal(err)
		}
		r := a.await("success")
		if r.Payload["reply"] != "_INBOX.answers."+id {
			t.Errorf("the event is %+v", r.Payload)
		}
	}
	start("a")
	want := map[string]any{
		"subject": "jobs.run", "tokens": []any{"jobs", "run"}, "reply": "_INBOX.answers.a", "headers": map[string]any{}, "body": map[string]any{"id": "a"},
	}
	if o := s.last(); o.Template != "job" || o.Key != "a" || o.Limit != 2 || o.Identity != node || !cmp.Equal(o.Input, want) {
		t.Errorf("orders %+v", o)
	}
	if got := request(`{"id": "a"}`); got != `409 job "a" runs already` {
		t.Errorf("the same again: %q", got)
	}
	a.await(outcomeExists)
	start("b")
	if got := request(`{"id": "c"}`); got != "429 busy" {
		t.Errorf("one too many: %q", got)
	}
	if r := a.await(outcomeFull); r.Payload["key"] != "c" {
		t.Errorf("full: %+v", r)
	}
	for body, outcome := range map[string]string{`{"id": 7}`: outcomeUnreadable, `{"id": ""}`: outcomeUnreadable} {
		if got := request(body); got != "500 the request cannot be served" {
			t.Errorf("%s: %q", body, got)
		}
		a.await(outcome)
	}
	s.fail(errHost)
	if got := request(`{"id": "d"}`); got != "500 the request cannot be served" {
		t.Errorf("a host that stops: %q", got)
	}
	if r := a.await("fail"); !strings.Contains(r.Message, errHost.Error()) {
		t.Errorf("a host that stops: %+v", r)
	}
}

func TestOneOfTwoServicesAnswers(t *testing.T) {
	b := startBroker(t)
	p, q := kept(t, b, "fleet"), kept(t, b, "fleet")
	conn := b.client()
	const properties = "name: adder\nsubject: add\nreply: 1"
	one, two := listening(t, p, nil, "service", properties), listening(t, q, nil, "service", properties)
	replies := make(chan *nats.Msg, 1000)
	if _, err := conn.ChanSubscribe("_INBOX.replies", replies); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if err := conn.PublishRequest("add", "_INBOX.replies", nil); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are answered", func() bool { return len(replies) >= 200 && len(one.reports)+len(two.reports) >= 200 })
	if len(replies) != 200 || len(one.reports) == 0 || len(two.reports) == 0 {
		t.Errorf("%d replies, one answers %d and the other %d", len(replies), len(one.reports), len(two.reports))
	}
}

// TestTwoThousandRequestsAtOnce are answered or refused, whatever the host can take.
func TestTwoThousandRequestsAtOnce(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	const requests, limit = 2000, 500
	for _, kind := range []string{"micro: true", "micro: false"} {
		s := &spawner{}
		a := listening(t, p, s, "service", kind+"\nname: jobs\nsubject: jobs\nspawn: {template: job, key: string(message.body), limit: 500}")
		replies := make(chan *nats.Msg, 2*requests)
		sub, err := conn.ChanSubscribe("_INBOX.replies.*", replies)
		if err != nil {
			t.Fatal(err)
		}
		for i := range requests {
			if err := conn.PublishRequest("jobs", fmt.Sprintf("_INBOX.replies.%d", i), fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "each is answered or has its instance", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(replies)+len(s.orders) == requests
		})
		if len(s.orders) != limit {
			t.Errorf("%s: %d instances, want %d", kind, len(s.orders), limit)
		}
		for range requests - limit {
			if got := refusal(<-replies); got != "429 busy" {
				t.Fatalf("%s: answered with %q", kind, got)
			}
		}
		a.stop()
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServiceThatIsLeft answers those that wait: they need not find out by waiting in vain.
func TestServiceThatIsLeft(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	ctx, leave := context.WithCancel(t.Context())
	hold := make(chan struct{})
	s := &slowSpawner{entered: make(chan struct{}, 1), hold: hold}
	w := newWatcher(t, p, s, "service", "name: jobs\nsubject: jobs\nspawn: {template: job, key: string(message.body)}").(*service)
	ended := make(chan struct{})
	told := make(chan string, 100)
	go func() {
		w.Listen(ctx, newLook(), func(r watchers.Report) { told <- r.Outcome })
		close(ended)
	}()
	if got := <-told; got != outcomeListening {
		t.Fatalf("reports %q", got)
	}
	replies := make(chan *nats.Msg, 100)
	if _, err := conn.ChanSubscribe("_INBOX.replies", replies); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := conn.PublishRequest("jobs", "_INBOX.replies", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	<-s.entered
	if err := wait(t, p, "fleet").Flush(); err != nil { // the others wait behind it
		t.Fatal(err)
	}
	leave()
	select {
	case <-ended:
	case <-time.After(time.Second):
		t.Fatal("it waits for the host")
	}
	close(hold)
	for range 9 {
		if got := refusal(next(t, replies)); got != "503 the service jobs of n1.example is not offered any more" {
			t.Errorf("answered with %q", got)
		}
	}
}

// slowSpawner is a host that takes its time.
type slowSpawner struct {
	spawner
	entered chan struct{}
	hold    chan struct{}
	once    sync.Once
}

// Spawn implements watchers.Spawner.
func (s *slowSpawner) Spawn(ctx context.Context, o watchers.SpawnOrder) (bool, error) {
	s.once.Do(func() { s.entered <- struct{}{} })
	<-s.hold
	return s.spawner.Spawn(ctx, o)
}

// TestMicroServiceFollowsItsConnection over a broker's restart and another connection.
func TestMicroServiceFollowsItsConnection(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	a := listen(t, p, nil, "service", "name: adder\nsubject: add\nreply: 1")
	answered := func() bool {
		conn, err := nats.Connect(b.url())
		if err != nil {
			return false
		}
		defer conn.Close()
		m, err := conn.Request("add", nil, 100*time.Millisecond)
		return err == nil && string(m.Data) == "1"
	}
	leave := keep(t, p, "fleet")
	eventually(t, "it answers", answered)
	b.stop()
	b.start()
	eventually(t, "it answers the broker that came back", answered)
	leave()
	eventually(t, "the connection is closed", func() bool { return b.srv.NumClients() == 0 })
	keep(t, p, "fleet")
	eventually(t, "it answers by another connection", answered)
	a.stop()
	close(a.reports)
	listenings := 0
	for r := range a.reports {
		if r.Outcome == outcomeListening {
			listenings++
		}
	}
	if listenings != 1 {
		t.Errorf("says %d times that it listens", listenings)
	}
}

// TestE33RequestsBeyondPendingAreAnsweredAtOnce sends 2,000 requests of which five may wait: each has an answer, and most at once, while the first is
// still at work.
func TestE33RequestsBeyondPendingAreAnsweredAtOnce(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	const many = 2000
	for _, kind := range []string{"micro: true", "micro: false"} {
		s := &slowSpawner{entered: make(chan struct{}, 1), hold: make(chan struct{})}
		a := listening(t, p, s, "service", kind+"\nname: jobs\nsubject: jobs\npending: 5\nspawn: {template: job, key: string(message.body)}")
		inbox := conn.NewInbox()
		answers, err := conn.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		for i := range many {
			if err := conn.PublishRequest("jobs", inbox, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
		for i := range many - 6 { // one is being served, five wait
			m, err := answers.NextMsg(patience)
			if err != nil {
				t.Fatalf("%s: %d of %d have an answer: %v", kind, i, many, err)
			}
			if refusal(m) != "429 busy" || m.Header.Get("Retry-After") != "1" {
				t.Fatalf("%s: answered with %v", kind, m.Header)
			}
		}
		close(s.hold)
		if r := a.await(outcomeOverflowed); r.Payload["dropped"] == nil {
			t.Errorf("%+v", r)
		}
		// Five wait and one is being served, unless all requests came before the first was taken from those that wait.
		refused := many - 6
		eventually(t, "the others are served, or refused as well", func() bool {
			if m, err := answers.NextMsg(time.Millisecond); err == nil && refusal(m) == "429 busy" {
				refused++
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			return refused+len(s.orders) == many && len(s.orders) >= 5
		})
		a.stop()
	}
}

// TestServiceOverflow: requests that cannot even wait are counted.
func TestServiceOverflow(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	for _, kind := range []string{"micro: true", "micro: false"} {
		s := &slowSpawner{entered: make(chan struct{}, 1), hold: make(chan struct{})}
		a := listening(t, p, s, "service", kind+"\nname: jobs\nsubject: jobs\npending: 5\nspawn: {template: job, key: string(message.body)}")
		for i := range 50 {
			if err := conn.PublishRequest("jobs", "_INBOX.replies", fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(conn.Flush(), wait(t, p, "fleet").Flush()); err != nil {
			t.Fatal(err)
		}
		close(s.hold)
		a.accountsFor(50)
		a.stop()
	}
}

// TestAServiceAnswersFromTheDataOfNow: a service goes on over changes of its machine's state and data.
func TestAServiceAnswersFromTheDataOfNow(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	var n atomic.Int64
	look := newLook()
	look.Live = func() (string, map[string]any) {
		return fmt.Sprintf("state%d", n.Load()), map[string]any{"n": int(n.Load())}
	}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	w := newWatcher(t, p, nil, "service", "name: now\nsubject: now\nwhere: data.n > 0\nreply: '{state: state, n: data.n}'").(watchers.Listener)
	told := make(chan string, 100)
	go w.Listen(ctx, look, func(r watchers.Report) { told <- r.Outcome })
	if got := <-told; got != outcomeListening {
		t.Fatalf("reports %q", got)
	}
	conn := b.client()
	if got := refusal(ask(t, conn, "now", "")); got != "403 refused" {
		t.Errorf("before there is anything: %q", got)
	}
	for i := range 2 {
		n.Store(int64(i + 1))
		if got, want := string(ask(t, conn, "now", "").Data), fmt.Sprintf(`{"n":%d,"state":"state%d"}`, i+1, i+1); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
