package messaging

import (
	"strings"
	"testing"
)

// TestD23AmbiguousEvents sends events that say one thing to who passes them on and another to who may read them then. Where the body is not looked at
// they go on as they came.
func TestD23AmbiguousEvents(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	const where = "\nwhere: message.body.subject == message.tokens[1] && message.body.data.identity == message.body.subject"
	careful := listening(t, p, nil, "subscribe", "subject: node.*.out.event\nforward: {subject: \"'careful'\"}"+where)
	listening(t, p, nil, "subscribe", "subject: node.*.out.event\nforward: {subject: \"'credulous'\"}")
	listening(t, p, nil, "subscribe", "subject: node.*.out.event\nforward: {subject: \"'anew'\", body: \"{subject: message.body.subject}\"}"+where)
	passed, credulous, anew := hear(t, b, "careful"), hear(t, b, "credulous"), hear(t, b, "anew")
	good := `{"subject": "n1", "data": {"identity": "n1", "path": "a:b \" {c:", "list": [{"x": 1}, {"x": 2}], "Paths": 1.5}}`
	for name, body := range map[string]string{
		"the first counts elsewhere":        `{"subject": "victim", "subject": "n1", "data": {"identity": "n1"}}`,
		"further in":                        `{"subject": "n1", "data": {"identity": "victim", "identity": "n1"}}`,
		"all of it twice":                   `{"subject": "n1", "data": {"identity": "victim"}, "data": {"identity": "n1"}}`,
		"written otherwise":                 `{"sub\u006aect": "victim", "subject": "n1", "data": {"identity": "n1"}}`,
		"case counts for nothing elsewhere": `{"subject": "n1", "Subject": "victim", "data": {"identity": "n1"}}`,
		"nor a long s":                      `{"subject": "n1", "\u017fubject": "victim", "data": {"identity": "n1"}}`,
		"in a list":                         `{"subject": "n1", "data": {"identity": "n1", "list": [{"a": 1, "A": 2}]}}`,
	} {
		publish(t, p, "node.n1.out.event", body)
		if m := next(t, credulous); string(m.Data) != body {
			t.Errorf("%s: where nobody looks, %s is passed on", name, m.Data)
		}
		if m := next(t, anew); string(m.Data) != `{"subject":"n1"}` {
			t.Errorf("%s: written anew it is %s", name, m.Data)
		}
	}
	publish(t, p, "node.n1.out.event", good)
	if m := next(t, passed); string(m.Data) != good { // what it had passed on before would come first
		t.Errorf("passes on %s", m.Data)
	}
	for range 3 { // the 1st, 2nd and 4th
		if r := careful.await(outcomeUnreadable); !strings.Contains(r.Message, "has a key twice") {
			t.Errorf("it says %+v", r)
		}
	}
}
