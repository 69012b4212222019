package messaging

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSpawnForALook(t *testing.T) {
	s := &spawner{}
	const properties = "template: probe\nkey: identity + '-' + string(data.n)\ninput: '{n: data.n}'\nlimit: 1\nwhere: data.n == 7"
	r := check(t, nil, s, "spawn", properties)
	if r.Outcome != "success" || r.Payload["key"] != "n1.example-7" {
		t.Errorf("reports %+v", r)
	}
	if o := s.last(); o.Template != "probe" || o.Key != "n1.example-7" || o.Limit != 1 || o.Identity != node || !cmp.Equal(o.Input, map[string]any{"n": 7}) {
		t.Errorf("orders %+v", o)
	}
	if r := check(t, nil, s, "spawn", properties); r.Outcome != outcomeExists {
		t.Errorf("again: %+v", r)
	}
	for properties, want := range map[string][2]string{
		"template: probe\nkey: machine\nlimit: 1":                {outcomeFull, "as may"},
		"template: probe\nkey: machine\nwhere: data.n == 8":      {outcomeRefused, "false"},
		"template: probe\nkey: machine\nwhere: data.n":           {outcomeRefused, "not true or false"},
		"template: probe\nkey: data.n":                           {"fail", "key"},
		"template: probe\nkey: instance":                         {"fail", "empty"},
		"template: probe\nkey: machine\ninput: data.n":           {"fail", "input"},
		"template: probe\nkey: machine\nwhere: message != nil":   {outcomeRefused, "false"},
		"template: probe\nkey: message.subject\nwhere: 1 == 1":   {"fail", "key"},
		"template: probe\nkey: machine\ninput: '{m: message}'\n": {"success", ""},
	} {
		if r := check(t, nil, s, "spawn", properties); r.Outcome != want[0] || !strings.Contains(r.Message, want[1]) {
			t.Errorf("%s: %q %s, want %v", properties, r.Outcome, r.Message, want)
		}
		s.mu.Lock()
		if len(s.running) > 1 {
			delete(s.running, "m")
		}
		s.mu.Unlock()
	}
	if o := s.last(); !cmp.Equal(o.Input, map[string]any{"m": nil}) {
		t.Errorf("without a message the input is %+v", o.Input)
	}
	s.fail(errHost)
	if r := check(t, nil, s, "spawn", "template: probe\nkey: machine"); r.Outcome != "fail" || !strings.Contains(r.Message, errHost.Error()) {
		t.Errorf("a host that stops: %+v", r)
	}
}

func TestSpawnForMessages(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	s := &spawner{}
	a := listening(t, p, s, "spawn", `
subject: enroll.*.out.hello
queue: provisioners
template: enrollee
key: message.tokens[1]
where: message.body.token != nil
limit: 2
`)
	publish(t, p, "enroll.k1.out.hello", `{"token": "t"}`)
	if r := a.await("success"); r.Payload["key"] != "k1" {
		t.Errorf("reports %+v", r)
	}
	want := map[string]any{
		"subject": "enroll.k1.out.hello", "tokens": []any{"enroll", "k1", "out", "hello"}, "reply": "", "headers": map[string]any{},
		"body": map[string]any{"token": "t"},
	}
	if o := s.last(); o.Key != "k1" || !cmp.Equal(o.Input, want) {
		t.Errorf("orders %+v", o)
	}
	publish(t, p, "enroll.k1.out.hello", `{"token": "t"}`)
	a.await(outcomeExists)
	publish(t, p, "enroll.k2.out.hello", `{}`)
	if r := a.await(outcomeRefused); r.Payload["subject"] != "enroll.k2.out.hello" {
		t.Errorf("refused: %+v", r)
	}
	publish(t, p, "enroll.k2.out.hello", "\xff")
	a.await(outcomeUnreadable)
	publish(t, p, "enroll.k2.out.hello", `{"token": "t"}`)
	a.await("success")
	publish(t, p, "enroll.k3.out.hello", `{"token": "t"}`)
	if r := a.await(outcomeFull); r.Payload["key"] != "k3" {
		t.Errorf("full: %+v", r)
	}
	s.fail(errHost)
	publish(t, p, "enroll.k4.out.hello", `{"token": "t"}`)
	a.await("fail")
}

// TestSpawnKeyOfAMessage: what somebody sends is no failure of the machine.
func TestSpawnKeyOfAMessage(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	a := listening(t, p, &spawner{}, "spawn", "subject: hello\ntemplate: t\nkey: message.body.key")
	publish(t, p, "hello", `{"key": 7}`)
	if r := a.await(outcomeUnreadable); !strings.Contains(r.Message, "key") || r.Payload["subject"] != "hello" {
		t.Errorf("reports %+v", r)
	}
}
