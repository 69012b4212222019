package inventory

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

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
		}, "maximum bytes exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdapterTest(t, false)
			tt.stream(a)
			a.listen()
			a.send(inventoryOf("n1=example", "n1.example", "{}"))
			a.says(outcomeLagging, tt.text,
				map[string]any{"received": 1, "stored": 0, "refused": 0, "dropped": 1})
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
			a.says(outcomeRefused, text, map[string]any{"received": 1, "stored": 0, "refused": 1, "dropped": 0})
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
	tally := &tally{emit: func(r watchers.Report) { said = append(said, r.Outcome) }}
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() {}, nil},
		{func() { tally.drop("a"); tally.withheld("b") }, []string{outcomeLagging}},
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
