package keyvalue

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestG45AStreamThatIsFillingIsTold at 80 percent, once, and again when it has room.
func TestG45AStreamThatIsFillingIsTold(t *testing.T) {
	l := dial(t, broker(t).ClientURL())
	js := must[jetstream.JetStream](t)(jetstream.New(l.nc))
	keeps(t, l, `
streams: [{name: EVENTS, subjects: [events], max_bytes: 100000}, {name: FREE, subjects: [free]}, {name: FEW, subjects: [few], max_messages: 10}]
buckets: [{name: NODES, max_bytes: 100000}]`, machine.OutcomeSuccess)
	w := newWatcher(t, l, "usage", "{}").(watchers.Checker)
	looks := func(moment watchers.Moment, outcome string, filling map[string]any) watchers.Report {
		t.Helper()
		look := newLook(nil)
		look.Moment = moment
		rep := w.Check(t.Context(), look)
		if diff := cmp.Diff(filling, rep.Payload["filling"]); rep.Outcome != outcome || diff != "" {
			t.Fatalf("%s %s: %s", rep.Outcome, rep.Message, diff)
		}
		return rep
	}
	none := map[string]any{}
	// One that has no bound in bytes may take the room of all: that is told until it has one.
	rep := looks(watchers.Entered, outcomeFilling, none)
	if diff := cmp.Diff([]any{"FEW", "FREE"}, rep.Payload["unbounded"]); diff != "" || !strings.Contains(rep.Message, "FREE has no max_bytes") {
		t.Errorf("%s: %s", rep.Message, diff)
	}
	looks(watchers.Interval, watchers.OutcomeUnchanged, none)
	for _, name := range []string{"FEW", "FREE"} {
		cfg := must[jetstream.Stream](t)(js.Stream(t.Context(), name)).CachedInfo().Config
		cfg.MaxBytes = 1 << 20
		must[jetstream.Stream](t)(js.UpdateStream(t.Context(), cfg))
	}
	looks(watchers.Interval, machine.OutcomeSuccess, none)
	looks(watchers.Interval, watchers.OutcomeUnchanged, none)
	for range 79 {
		must[*jetstream.PubAck](t)(js.Publish(t.Context(), "events", make([]byte, 1000-50)))
	}
	looks(watchers.Interval, watchers.OutcomeUnchanged, none)
	for range 7 {
		must[*jetstream.PubAck](t)(js.Publish(t.Context(), "events", make([]byte, 1000-50)))
	}
	percent := map[string]any{"EVENTS": fullness(streamOf(t, l, "EVENTS"))}
	rep = looks(watchers.Interval, outcomeFilling, percent)
	if !strings.Contains(rep.Message, "drops what is oldest") || rep.Payload["reason"] != rep.Message {
		t.Errorf("%+v", rep)
	}
	looks(watchers.Interval, watchers.OutcomeUnchanged, percent)
	looks(watchers.Entered, outcomeFilling, percent)
	for range 8 {
		must[*jetstream.PubAck](t)(js.Publish(t.Context(), "few", nil))
	}
	percent["FEW"] = 80
	looks(watchers.Interval, outcomeFilling, percent)
	for _, name := range []string{"EVENTS", "FEW"} {
		if err := must[jetstream.Stream](t)(js.Stream(t.Context(), name)).Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	looks(watchers.Interval, machine.OutcomeSuccess, none)
	looks(watchers.Interval, watchers.OutcomeUnchanged, none)
}
