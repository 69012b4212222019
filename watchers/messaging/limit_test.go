package messaging

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestG45AFloodOfOneCostsNobodyElse: of each who is counted a listener passes on as much as its quota has room for, and all of the others'.
func TestG45AFloodOfOneCostsNobodyElse(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	heard := hear(t, b, "out.>")
	a := listening(t, p, nil, "subscribe", `
subject: in.*
max_size: 100
quota: [{by: "message.tokens[1]", rate: 1/h, burst: 10}]
forward: {subject: "'out.' + message.tokens[1]"}
`)
	conn := b.client()
	publish := func(subject, body string) {
		if err := conn.Publish(subject, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for range 500 {
		publish("in.flood", "{}")
	}
	publish("in.large", strings.Repeat("x", 200))
	publish("in.honest", "{}")
	counts := map[string]int{}
	for counts["out.honest"] == 0 {
		select {
		case m := <-heard:
			counts[m.Subject]++
		case <-time.After(patience):
			t.Fatalf("only %v came", counts)
		}
	}
	if counts["out.flood"] != 10 || counts["out.large"] > 0 {
		t.Errorf("passed on: %v", counts)
	}
	r := a.await("forwarded")
	for r.Outcome == "forwarded" {
		r = <-a.reports
	}
	if r.Payload["by"] != "flood" || r.Payload["subject"] != "in.flood" || !strings.Contains(r.Message, "more than 10 messages at once") {
		t.Errorf("%+v", r)
	}
	a.stop()
	close(a.reports)
	reports := map[string]int{}
	for r := range a.reports {
		reports[r.Outcome]++
	}
	if reports[outcomeLimited] > 10 || reports[outcomeUnreadable] != 1 {
		t.Errorf("490 messages were told about so often: %v", reports)
	}
}

// TestG45ARequestOverAQuotaIsAnsweredBusy says when to come again.
func TestG45ARequestOverAQuotaIsAnsweredBusy(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	for _, kind := range []string{"micro: true", "micro: false"} {
		a := listening(t, p, nil, "service", kind+`
name: adder
subject: add.*
max_size: 100
quota: [{by: "message.tokens[1]", rate: 6/m, burst: 2}]
reply: "1"
`)
		for i, want := range []string{"", "", "429 busy", "429 busy"} {
			if m := ask(t, conn, "add.a", ""); refusal(m) != want {
				t.Errorf("%s: request %d is answered with %q", kind, i, refusal(m))
			} else if n := m.Header.Get("Retry-After"); want != "" && n != "10" {
				t.Errorf("%s: to come again after %q", kind, n)
			}
		}
		if m := ask(t, conn, "add.b", ""); refusal(m) != "" {
			t.Errorf("%s: another is answered with %q", kind, refusal(m))
		}
		if m := ask(t, conn, "add.b", strings.Repeat("x", 200)); !strings.HasPrefix(refusal(m), "413 ") {
			t.Errorf("%s: a large one is answered with %q", kind, refusal(m))
		}
		a.stop()
	}
}

// TestE33ABusyAnswerIsAskedAgain within the time that a look has; another error is final.
func TestE33ABusyAnswerIsAskedAgain(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	var asked atomic.Int64
	answer := func(code string, header nats.Header) nats.MsgHandler {
		return func(m *nats.Msg) {
			if asked.Add(1) > 1 && strings.HasPrefix(m.Subject, "once") {
				_ = m.Respond([]byte("{}"))
				return
			}
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{
				"Nats-Service-Error-Code": {code}, "Nats-Service-Error": {"no"}, "Retry-After": header["Retry-After"]}})
		}
	}
	for subject, handle := range map[string]nats.MsgHandler{
		"once.busy": answer("429", nats.Header{"Retry-After": {"1"}}), "once.leaving": answer("503", nil),
		"long": answer("429", nats.Header{"Retry-After": {"3600"}}), "gone": answer("404", nil),
	} {
		if _, err := conn.Subscribe(subject, handle); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for subject, tt := range map[string]struct {
		outcome string
		asked   int64
		payload string
	}{
		"once.busy": {"success", 2, ""}, "once.leaving": {"success", 2, ""}, "long": {outcomeBusy, 1, "map[after:3600 code:429 error:no]"},
		"gone": {outcomeRefused, 1, "map[code:404 error:no]"},
	} {
		asked.Store(0)
		r := check(t, p, nil, "request", "subject: "+subject)
		if r.Outcome != tt.outcome || asked.Load() != tt.asked || tt.payload != "" && fmt.Sprint(r.Payload) != tt.payload {
			t.Errorf("%s: asked %d times, %+v", subject, asked.Load(), r)
		}
	}
}

// TestG45AServiceThatEndsLeavesNobodyWaiting: who waits then is told.
func TestG45AServiceThatEndsLeavesNobodyWaiting(t *testing.T) {
	b := startBroker(t)
	p := kept(t, b, "fleet")
	conn := b.client()
	s := &slowSpawner{entered: make(chan struct{}, 1), hold: make(chan struct{})}
	a := listening(t, p, s, "service", "name: jobs\nsubject: jobs\nspawn: {template: job, key: string(message.body)}")
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	for i := range 10 {
		err = errors.Join(err, conn.PublishRequest("jobs", inbox, fmt.Append(nil, i)))
	}
	if err := errors.Join(err, conn.Flush()); err != nil {
		t.Fatal(err)
	}
	<-s.entered
	ended := make(chan struct{})
	go func() { a.stop(); close(ended) }()
	time.AfterFunc(50*time.Millisecond, func() { close(s.hold) })
	for range 9 {
		m, err := answers.NextMsg(patience)
		if err != nil || !strings.HasPrefix(refusal(m), "503 ") {
			t.Fatalf("%v, %v", m, err)
		}
	}
	<-ended
}
