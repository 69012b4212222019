package inventory

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/watchers"
)

func TestIngestSaysWhatTheStreamDidNotTake(t *testing.T) {
	for name, tt := range map[string]struct {
		stream func(a *adapterTest)
		text   string
	}{
		"there is no stream": {func(*adapterTest) {}, "nats: no response from stream"},
		"it is too large": {func(a *adapterTest) {
			a.stream(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 })
		}, "message size exceeds maximum allowed"},
		"the stream is full": {func(a *adapterTest) {
			a.stream(func(c *jetstream.StreamConfig) {
				c.MaxMsgsPerSubject, c.MaxBytes, c.Discard = -1, 100, jetstream.DiscardNew
			})
		}, "the stream is full, and takes nothing more until it has room"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdapterTest(t, false)
			tt.stream(a)
			a.listen()
			a.send(inventoryOf("n1=example", "n1.example", "{}"))
			a.says(outcomeLagging, tt.text,
				map[string]any{"received": 1, "stored": 0, "refused": 0, "dropped": 1, "waiting": 0})
		})
	}
}

func TestIngestRefusesWhatHasNoPlace(t *testing.T) {
	for to, text := range map[string]string{
		`"discovery." + message.headers["nobody"]`: "nil", `"discovery.*"`: `"discovery.*" is no subject for the stream`, `""`: `"" is no subject`, "1": "is not a text",
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			a := newAdapterTest(t, false)
			a.stream()
			a.spec.To = formula(t, to)
			a.listen()
			a.send(inventoryOf("n1=example", "n1.example", "{}"))
			a.says(outcomeRefused, text, map[string]any{"received": 1, "stored": 0, "refused": 1, "dropped": 0, "waiting": 0})
		})
	}
}

// TestIngestCountsWhatItHasNoRoomFor sends more than can wait, to a stream that is not there, so that each message takes long.
func TestIngestCountsWhatItHasNoRoomFor(t *testing.T) {
	const messages = 200
	a := newAdapterTest(t, false)
	a.spec.Pending, a.spec.Window = 1, 1
	a.listen()
	for range messages {
		a.send(inventoryOf("n1=example", "n1.example", "{}"))
	}
	a.stop()
	said := a.reports(outcomeLagging)
	if len(said) == 0 {
		t.Fatal("it says nothing")
	}
	last := said[len(said)-1].Payload
	if last["received"] == messages || last["stored"] != 0 || last["dropped"] != messages {
		t.Errorf("%+v", last)
	}
}

func TestIngestGoesOnWithABrokerThatIsBack(t *testing.T) {
	a := newAdapterTest(t, false)
	a.stream()
	a.listen()
	a.send(inventoryOf("n1=example", "n1.example", "{}"))
	waitFor(t, a.holds(1))
	a.shutdown()
	a.start()
	waitFor(t, reconnected(a.conn))
	waitFor(t, func() bool { // until the watcher is back, nobody hears it
		a.send(inventoryOf("n2=example", "n2.example", "{}"))
		return a.holds(2)()
	})
	a.stop()
	for _, said := range a.reports(outcomeLagging) {
		if !strings.Contains(said.Message, "n1=example") { // the broker may go before it has said that it has that one
			t.Errorf("it says %+v", said)
		}
	}
}

// TestIngestEndsWithWhatItHasSent loses nothing that had come when it is told to stop.
func TestIngestEndsWithWhatItHasSent(t *testing.T) {
	const messages = 2000
	a := newAdapterTest(t, false)
	stream := a.stream()
	a.listen()
	for n := range messages {
		id := fmt.Sprintf("n%d", n)
		a.send(inventoryOf(id, id, "{}"))
	}
	a.stop()
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != messages {
		t.Errorf("the stream has %+v (%v)", info, err)
	}
	if said := a.reports(outcomeLagging); len(said) > 0 {
		t.Errorf("it says %+v", said)
	}
}

// holds says whether the stream has so many subjects.
func (a *adapterTest) holds(subjects uint64) func() bool {
	return func() bool {
		stream, err := a.js.Stream(a.t.Context(), "DISCOVERY")
		return err == nil && stream.CachedInfo().State.NumSubjects == subjects
	}
}

func TestIngestWritesTheJetStreamForm(t *testing.T) {
	a := newAdapterTest(t, false)
	stream := a.stream()
	a.spec.Format = "jetstream"
	a.listen()
	a.send(inventoryOf("n1=example", "n1.example", "\"a\u2028\xff\""))
	waitFor(t, a.holds(1))
	m, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Protocol, Data, Sender, RequestID string
		Time                              int64
	}
	if err := json.Unmarshal(m.Data, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Protocol != "choria:adapters:jetstream:output:1" || doc.Time == 0 || doc.Sender != "n1.example" || doc.Data != "\"a\u2028\ufffd\"" {
		t.Errorf("%s", m.Data)
	}
}

func TestTallyReportsOnce(t *testing.T) {
	var said []string
	tally := newMetrics(nil).tally(&watchers.Look{}, func(r watchers.Report) { said = append(said, r.Outcome) })
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, nil},
		{func() { tally.drop("a"); tally.drop("b") }, []string{outcomeLagging}},
		{func() { tally.drop("c") }, []string{outcomeLagging}},
		{func() {}, []string{outcomeCaughtUp}},
		{func() {}, nil},
		{func() { tally.refuse("d") }, []string{outcomeRefused}},
		{func() { tally.refuse("e"); tally.drop("f") }, []string{outcomeRefused, outcomeLagging}},
		{func() {}, []string{outcomeCaughtUp}},
	} {
		said = nil
		step.do()
		tally.report()
		if fmt.Sprint(said) != fmt.Sprint(step.want) {
			t.Errorf("it says %v, not %v", said, step.want)
		}
	}
}

// told sends a message as a node does that waits for its answer.
func (a *adapterTest) told(m *nats.Msg) *nats.Msg {
	a.t.Helper()
	answer, err := a.conn.RequestMsg(m, patience)
	if err != nil {
		a.t.Fatalf("%s is not answered: %v", m.Subject, err)
	}
	return answer
}

// TestH64TheNodeHearsThatTheStreamHasIt stores once what is told twice, because the node heard of no answer, and says so both times.
func TestH64TheNodeHearsThatTheStreamHasIt(t *testing.T) {
	a := newAdapterTest(t, false)
	stream := a.stream()
	a.spec.ID = formula(t, `(message.headers["Statecraft-Message-Id"] ?? "") == "" ? "" : message.tokens[1] + "/" + message.headers["Statecraft-Message-Id"]`)
	a.listen()
	for _, id := range []string{"1", "1", "2", "", ""} {
		m := inventoryOf("n1=example", "n1.example", "{}")
		m.Header.Set("Statecraft-Message-Id", id)
		var ack jetstream.PubAck
		if answer := a.told(m); json.Unmarshal(answer.Data, &ack) != nil || ack.Stream != "DISCOVERY" || ack.Sequence == 0 {
			t.Errorf("the node hears %s %v", answer.Data, answer.Header)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.LastSeq != 4 {
		t.Errorf("the stream has %+v (%v)", info, err)
	}
}

// TestH64TheNodeHearsWhyTheStreamDoesNotHaveIt tells what may be told again from what need not.
func TestH64TheNodeHearsWhyTheStreamDoesNotHaveIt(t *testing.T) {
	a := newAdapterTest(t, false)
	a.listen()
	for _, tt := range []struct{ sender, want string }{
		{"n2.example", "400 it is refused: where is false for it"}, {"n1.example", "503 nats: no response from stream"},
	} {
		answer := a.told(inventoryOf("n1=example", tt.sender, "{}"))
		if said := answer.Header.Get(micro.ErrorCodeHeader) + " " + answer.Header.Get(micro.ErrorHeader); said != tt.want {
			t.Errorf("the node hears %q, want %q", said, tt.want)
		}
	}
	a.stream(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 })
	if code := a.told(inventoryOf("n1=example", "n1.example", "{}")).Header.Get(micro.ErrorCodeHeader); code != "400" {
		t.Errorf("what is too large: code %s", code)
	}
	m := inventoryOf("n1=example", "n1.example", "{}")
	m.Reply = "discovery.n2=example"
	a.send(m)
	a.stop()
	if said := a.reports(outcomeRefused); len(said) == 0 || !strings.Contains(said[len(said)-1].Message, "inbox") {
		t.Errorf("what wants its answer elsewhere: %+v", said)
	}
}

// TestH64AStreamThatComesMeanwhileHasTheInventory tries again by itself, as there is a leader again soon.
func TestH64AStreamThatComesMeanwhileHasTheInventory(t *testing.T) {
	a := newAdapterTest(t, false)
	a.listen()
	a.send(inventoryOf("n1=example", "n1.example", "{}"))
	a.stream()
	waitFor(t, a.holds(1))
}

// TestH64WhatIsDroppedIsInPrometheus counts what became of messages, so that an alarm can go by it.
func TestH64WhatIsDroppedIsInPrometheus(t *testing.T) {
	a := newAdapterTest(t, false)
	reg := prometheus.NewRegistry()
	a.reg = reg
	a.listen()
	a.told(inventoryOf("n1=example", "n1.example", "{}"))
	a.told(inventoryOf("n1=example", "n2.example", "{}"))
	a.stream()
	a.told(inventoryOf("n1=example", "n1.example", "{}"))
	a.stop()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "result" {
					got[label.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{"received": 3, "stored": 1, "refused": 1, "dropped": 1}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
