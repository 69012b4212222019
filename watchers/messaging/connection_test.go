package messaging

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers/conformance"
)

// TestConformance holds every type, and each of their shapes, against the contract of watchers.
func TestConformance(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	s := &spawner{}
	answer := b.client()
	if _, err := answer.Subscribe("answered", func(m *nats.Msg) { _ = m.Respond([]byte("{}")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := answer.Subscribe("ignored", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := answer.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]conformance.Case{
		"connection":                             {Properties: "name: own\ncredentials: fleet"},
		"publish":                                {Properties: "subject: a\nbody: 1"},
		"request":                                {Properties: "subject: answered", Blocking: "subject: ignored"},
		"service":                                {Properties: "name: n\nsubject: s\nreply: 1"},
		"service plain":                          {Properties: "name: n\nsubject: s\nreply: 1\nmicro: false"},
		"spawn":                                  {Properties: "template: t\nkey: machine"},
		"spawn listening":                        {Properties: "template: t\nkey: machine\nsubject: s"},
		"subscribe":                              {Properties: "subject: s"},
		"subscribe where there is no connection": {Properties: "subject: s\nconnection: none"},
	} {
		t.Run(name, func(t *testing.T) {
			typ, _, _ := strings.Cut(name, " ")
			c.Type = typeOf(t, Types(p, s), typ)
			conformance.Run(t, c)
		})
	}
}

// TestWithoutPoolAndSpawner is check, test and docs, which have no services.
func TestWithoutPoolAndSpawner(t *testing.T) {
	for typ, properties := range map[string]string{"publish": "subject: a", "request": "subject: a", "spawn": "template: t\nkey: machine"} {
		if r := check(t, nil, nil, typ, properties); r.Outcome != "fail" || !strings.HasPrefix(r.Message, "this program ") {
			t.Errorf("%s: %+v", typ, r)
		}
	}
	for typ, properties := range map[string]string{
		"connection": "name: fleet", "subscribe": "subject: a", "service": "name: n\nsubject: s\nreply: 1", "spawn": "template: t\nkey: machine\nsubject: a",
	} {
		if r := listen(t, nil, &spawner{}, typ, properties).end(); r.Outcome != "fail" || !strings.Contains(r.Message, "this program has no connections") {
			t.Errorf("%s: %+v", typ, r)
		}
	}
	p := newPool(t, nil)
	for typ, properties := range map[string]string{
		"service": "name: n\nsubject: s\nspawn: {template: t, key: machine}", "spawn": "template: t\nkey: machine\nsubject: a",
	} {
		if r := listen(t, p, nil, typ, properties).end(); r.Outcome != "fail" || !strings.Contains(r.Message, "starts no instances") {
			t.Errorf("%s without a spawner: %+v", typ, r)
		}
	}
	if r := listen(t, p, nil, "connection", "name: fleet").end(); r.Outcome != "fail" || !strings.Contains(r.Message, "no credentials") {
		t.Errorf("without a source: %+v", r)
	}
}

func TestConnectionTellsWhatBecomesOfIt(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	a := listen(t, p, nil, "connection", "name: fleet")
	r := a.await("success")
	if diff := cmp.Diff(map[string]any{"server": b.url(), "logins": 1}, r.Payload); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.stop()
	if r := a.await("fail"); r.Payload["reason"] == "" || r.State["connected"] != false {
		t.Errorf("loss is %+v", r)
	}
	b.start()
	r = a.await("success")
	if diff := cmp.Diff(map[string]any{"name": "fleet", "connected": true, "logins": 2, "losses": 1, "refusals": 0}, r.State); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	a.stop()
	if _, err := p.Conn(node, "fleet"); err == nil {
		t.Error("the connection is there after its state was left")
	}
	eventually(t, "it is closed", func() bool { return b.srv.NumClients() == 0 })
	a.quiet()
}

func TestConnectionThatCannotBeMade(t *testing.T) {
	b := startBroker(t)
	b.stop()
	p := newPool(t, always(b.credentials()))
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await("fail")
	b.start()
	a.await("success")
	a.quiet()
}

// TestConnectionDrainsWhenLeft: what was sent before arrives, and so do requests that are being answered.
func TestConnectionDrainsWhenLeft(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	a := listen(t, p, nil, "connection", "name: fleet")
	a.await("success")
	arrived := make(chan *nats.Msg, 1000)
	other := b.client()
	if _, err := other.ChanSubscribe("news", arrived); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	conn := wait(t, p, "fleet")
	for range 500 {
		if err := conn.Publish("news", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	a.stop()
	eventually(t, "everything arrives", func() bool { return len(arrived) == 500 })
}

func TestConnectionsOfOneNameAndTwoCredentials(t *testing.T) {
	b := startBroker(t)
	p := newPool(t, always(b.credentials()))
	a := listen(t, p, nil, "connection", "name: fleet\ncredentials: node")
	a.await("success")
	if r := listen(t, p, nil, "connection", "name: fleet").end(); r.Outcome != "fail" || !strings.Contains(r.Message, "another name") {
		t.Errorf("ends with %+v", r)
	}
	same := listen(t, p, nil, "connection", "name: fleet\ncredentials: node")
	same.await("success")
	a.stop()
	wait(t, p, "fleet")
}

func TestConnectionAsksForItsCredentials(t *testing.T) {
	b := startBroker(t)
	asked := make(chan string, 100)
	p := newPool(t, func(id, name string) (*Credentials, error) { asked <- id + " " + name; return b.credentials(), nil })
	listen(t, p, nil, "connection", "name: enrollment\ncredentials: join").await("success")
	if got := <-asked; got != node+" join" {
		t.Errorf("asks for %q", got)
	}
}

// TestNewsOrder: who looks late is told everything, and last how it stands.
func TestNewsOrder(t *testing.T) {
	c := &connection{spec: &connectionSpec{Name: "fleet"}}
	for _, tt := range []struct {
		now  standing
		want []string
	}{
		{standing{}, nil},
		{standing{up: true, history: history{logins: 1}}, []string{"success"}},
		{standing{up: true, history: history{logins: 2, losses: 1}}, []string{"fail", "success"}},
		{standing{history: history{logins: 1, losses: 1}}, []string{"success", "fail"}},
		{standing{history: history{logins: 1, losses: 1, refusals: 1}}, []string{"success", "fail", "refused"}},
		{standing{history: history{refusals: 1}}, []string{"refused"}},
	} {
		var got []string
		for _, r := range c.news(history{}, tt.now) {
			got = append(got, r.Outcome)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v tells %v, want %v", tt.now, got, tt.want)
		}
		if again := c.news(tt.now.history, tt.now); len(again) > 0 {
			t.Errorf("%+v tells %v twice", tt.now, again)
		}
	}
}

func TestEveryOutcomeIsDocumented(t *testing.T) {
	for _, typ := range Types(nil, nil) {
		seen := map[string]bool{}
		for _, o := range typ.Outcomes {
			if o.Doc == "" || seen[o.Name] {
				t.Errorf("%s: the outcome %s is twice there or says nothing", typ.Name, o.Name)
			}
			seen[o.Name] = true
		}
		if !seen[machine.OutcomeSuccess] || !seen[machine.OutcomeFail] {
			t.Errorf("%s: success or fail is not documented", typ.Name)
		}
	}
}
