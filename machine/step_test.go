package machine

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// live runs a machine as the runtime does: every record is encoded and applied.
type live struct {
	t       testing.TB
	d       *Definition
	s       Snapshot
	at      time.Time
	records []Record
	raw     [][]byte
}

func startLive(t testing.TB, d *Definition) *live {
	l := &live{t: t, d: d, at: testTime}
	l.take(d.Start(Origin{}, l.at))
	return l
}

func (l *live) take(r Record) Record {
	l.t.Helper()
	b, head, err := EncodeRecord(&r)
	if err != nil {
		l.t.Fatal(err)
	}
	l.s = l.s.Apply(&r, head)
	l.records, l.raw = append(l.records, r), append(l.raw, b)
	return r
}

func (l *live) step(ev Event) Record {
	l.t.Helper()
	l.at = l.at.Add(time.Second)
	return l.take(l.d.Step(&l.s, ev, l.at))
}

func inventoryDefinition(t testing.TB) *Definition {
	m := inventory()
	m.Transitions[5].When = "state == 'publishing'"
	return mustCompile(t, m)
}

func TestStepTransition(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	r := l.step(Event{Name: "gather", Outcome: "success", Payload: map[string]any{"count": 3.0}, Cause: Cause{Kind: CauseWatcher, Name: "facts"}})
	want := Record{
		Seq: 2, Epoch: 2, At: testTime.Add(time.Second), Machine: "inventory", Digest: l.d.digest, Kind: RecordTransition,
		Event: "gather", Cause: Cause{Kind: CauseWatcher, Name: "facts"}, Outcome: "success", Payload: map[string]any{"count": 3},
		Guards: []GuardValue{{Transition: 0, Value: true}}, From: "idle", To: "publishing", Set: map[string]any{"seen": 3},
		Prev: HashRecord(l.raw[0]),
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	if l.s.State != "publishing" || !l.s.Entered.Equal(r.At) || l.s.Data["seen"] != 3 || l.s.Data["failures"] != 0 {
		t.Errorf("snapshot %+v", l.s)
	}
}

func TestStepGuardsChooseInOrder(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	r := l.step(Event{Name: "gather", Data: map[string]any{"failures": "7"}, Payload: map[string]any{"count": 1}})
	if r.To != "broken" || len(r.Guards) != 1 || r.Guards[0].Value {
		t.Errorf("went to %q over guards %v, want broken after a guard that does not hold", r.To, r.Guards)
	}
	if l.s.Data["failures"] != 7 {
		t.Errorf("failures is %#v: data is set, as its declared type, before guards are read", l.s.Data["failures"])
	}
}

func TestStepGuardErrorIsFalse(t *testing.T) {
	m := inventory()
	m.Transitions[5].When = ""
	m.Transitions[0].When = "data.label == 'x'"
	r := startLive(t, mustCompile(t, m)).step(Event{Name: "gather"})
	if r.To != "broken" || len(r.Guards) != 1 || r.Guards[0].Value || r.Guards[0].Error == "" {
		t.Errorf("record %+v, want the next transition and the guard's error", r)
	}
}

func TestA10ImpossibleEventIsARecordedRefusal(t *testing.T) {
	big := map[string]any{"blob": strings.Repeat("x", MaxPayload)}
	for _, c := range []struct {
		name   string
		ev     Event
		reason string
		data   bool // the event's data stays set
	}{
		{"unknown", Event{Name: "nonsense", Data: map[string]any{"seen": 1}}, `unknown event "nonsense"`, true},
		{"not taken here", Event{Name: "published", Data: map[string]any{"seen": 1}}, `event "published" is not taken in state "idle"`, true},
		{"no guard", Event{Name: "note", Data: map[string]any{"seen": 1}}, `no guard of event "note" holds in state "idle"`, true},
		{"set fails", Event{Name: "gather", Payload: map[string]any{"count": 1}, Data: map[string]any{"seen": 1, "failures": nil}}, "set seen", true},
		{"data type", Event{Name: "gather", Data: map[string]any{"seen": 1, "failures": "many"}}, `data key "failures" is declared integer and cannot hold a string`, false},
		{"payload", Event{Name: "gather", Payload: big, Data: map[string]any{"seen": 1}}, "the payload takes more than 65536 bytes", false},
		{"not JSON", Event{Name: "gather", Data: map[string]any{"seen": math.NaN()}}, "seen: NaN is not a JSON number", false},
		{"a channel", Event{Name: "gather", Payload: map[string]any{"c": make(chan int)}}, "not a JSON value", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := inventory()
			m.Transitions[5].When = "state == 'publishing'"
			m.Transitions[0].When = "true"
			m.Transitions[0].Set = []Assignment{{Key: "seen", Value: marks.Bare("[1][data.failures ?? 5]", diag.Position{})}}
			l := startLive(t, mustCompile(t, m))
			before := l.s
			r := l.step(c.ev)
			if r.Kind != RecordRefused || !strings.Contains(r.Reason, c.reason) {
				t.Fatalf("kind %s, reason %q, want refused with %q", r.Kind, r.Reason, c.reason)
			}
			if l.s.State != before.State || l.s.Epoch != before.Epoch || l.s.Seq != before.Seq+1 || !l.s.Entered.Equal(before.Entered) {
				t.Errorf("a refusal changed the machine: %+v, was %+v", l.s, before)
			}
			if _, set := l.s.Data["seen"]; set != c.data {
				t.Errorf("data set: %t, want %t", set, c.data)
			}
		})
	}
}

func TestA11SelfTransitionStaysAndReenterDoesNot(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	l.step(Event{Name: "gather", Payload: map[string]any{"count": 1}})
	visit := l.s
	stay := l.step(Event{Name: "note"})
	if stay.Kind != RecordStay || stay.Epoch != visit.Epoch || !l.s.Entered.Equal(visit.Entered) {
		t.Errorf("a self transition is %s in epoch %d, want stay in %d", stay.Kind, stay.Epoch, visit.Epoch)
	}
	again := l.step(Event{Name: "again"})
	if again.Kind != RecordTransition || again.Epoch != visit.Epoch+1 || !l.s.Entered.Equal(again.At) {
		t.Errorf("reenter is %s in epoch %d, want transition in %d", again.Kind, again.Epoch, visit.Epoch+1)
	}
}

func TestA11DataWithoutEvent(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	r := l.step(Event{Data: map[string]any{"seen": []any{1.0, "x"}}})
	if r.Kind != RecordStay || l.s.State != "idle" || cmp.Diff(l.s.Data["seen"], any([]any{1, "x"})) != "" {
		t.Errorf("record %+v, data %v", r, l.s.Data)
	}
	l.step(Event{Data: map[string]any{"seen": nil}})
	if _, kept := l.s.Data["seen"]; kept {
		t.Error("a nil value did not delete its key")
	}
}

func TestA11ChainAndUnhandledOutcome(t *testing.T) {
	m := pingPong()
	m.Watchers = []WatcherSpec{{Name: "look", Type: "unknown", SuccessTransition: "hit"}}
	l := startLive(t, mustCompile(t, m))
	for i := range 10 {
		if r := l.step(Event{Name: l.d.EventFor(0, OutcomeSuccess)}); r.Epoch != uint64(i+2) {
			t.Fatalf("link %d of the chain has epoch %d", i, r.Epoch)
		}
	}
	if got := l.d.EventFor(0, OutcomeFail); got != "" {
		t.Errorf("an outcome that nothing handles fires %q", got)
	}
}

func TestDeadlines(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	l.step(Event{Name: "gather", Payload: map[string]any{"count": 1}})
	late := l.d.DeadlineEvent("publishing", 1)
	if diff := cmp.Diff(Event{Name: "give_up", Cause: Cause{Kind: CauseDeadline, Name: "1h0m0s", Deadline: 2}}, late); diff != "" {
		t.Fatal(diff)
	}
	if r := l.step(late); r.Kind != RecordRefused || l.s.Fired != 2 {
		t.Errorf("%s with fired bits %b, want a refusal that counts as fired", r.Kind, l.s.Fired)
	}
	if r := l.step(l.d.DeadlineEvent("publishing", 0)); r.To != "idle" || l.s.Fired != 0 || l.s.Data["failures"] != 1 {
		t.Errorf("to %s, fired %b, data %v", r.To, l.s.Fired, l.s.Data)
	}
	for _, none := range []Event{l.d.DeadlineEvent("idle", 0), l.d.DeadlineEvent("publishing", 2), l.d.DeadlineEvent("nowhere", 0)} {
		if none.Name != "" {
			t.Errorf("a deadline that does not exist fires %q", none.Name)
		}
	}
}

func TestRecover(t *testing.T) {
	for _, c := range []struct {
		policy  OnRestart
		state   string // in which the host ends
		to      string
		entered bool // anew
	}{
		{Resume, "publishing", "publishing", false}, {Initial, "publishing", "idle", true},
		{Initial, "idle", "idle", true}, {Resume, "gone", "idle", true},
	} {
		m := inventory()
		m.OnRestart = c.policy
		m.Transitions[5].When = ""
		d := mustCompile(t, m)
		s := Snapshot{State: c.state, Seq: 7, Epoch: 3, Entered: testTime, Fired: 1, Data: map[string]any{"seen": 1}, Running: map[string]uint64{"x": 2}, Runs: 2}
		r := d.Recover(&s, testTime.Add(time.Hour))
		after := s.Apply(&r, "head")
		if after.State != c.to || after.Epoch != 4 || after.Seq != 8 || after.Entered.After(testTime) != c.entered || (after.Fired == 0) != c.entered {
			t.Errorf("%s in %s: %+v", c.policy, c.state, after)
		}
		if after.Data["seen"] != 1 || after.Running["x"] != 2 {
			t.Errorf("%s in %s: lost data %v or runs %v", c.policy, c.state, after.Data, after.Running)
		}
	}
}

func TestReplace(t *testing.T) {
	m := inventory()
	m.Transitions[5].When = ""
	m.Upgrade = &Upgrade{Map: map[string]string{"polling": "publishing"}}
	d := mustCompile(t, m)
	for from, to := range map[string]string{"publishing": "publishing", "polling": "publishing", "gone": "idle"} {
		s := Snapshot{State: from, Epoch: 3, Entered: testTime, Data: map[string]any{"failures": "2", "label": 5, "other": true}}
		r := d.Replace(&s, testTime.Add(time.Hour))
		after := s.Apply(&r, "")
		if after.State != to || after.Epoch != 4 || after.Digest != d.digest {
			t.Errorf("from %s: %+v, want state %s", from, after, to)
		}
		if diff := cmp.Diff(map[string]any{"failures": 2, "other": true}, after.Data); diff != "" {
			t.Errorf("from %s: data (-want +got):\n%s", from, diff)
		}
	}
}

func TestEffectsAreCounted(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	first := l.take(l.d.Effect(&l.s, "check", l.at))
	if first.Kind != RecordEffect || l.s.Running["check"] != 1 || l.s.Runs != 1 {
		t.Fatalf("after the first effect: %+v", l.s)
	}
	l.take(l.d.Effect(&l.s, "check", l.at))
	stale := l.s
	l.step(Event{Name: "nonsense", Cause: Cause{Kind: CauseWatcher, Name: "check", Run: 1}})
	if l.s.Running["check"] != 2 {
		t.Errorf("the end of an earlier run closed the present one: %v", l.s.Running)
	}
	l.step(Event{Name: "nonsense", Cause: Cause{Kind: CauseWatcher, Name: "check", Run: 2}})
	if len(l.s.Running) != 0 || l.s.Runs != 2 || stale.Running["check"] != 2 {
		t.Errorf("after its end: %v; a snapshot from before: %v", l.s.Running, stale.Running)
	}
}

func TestSnapshotDataIsNotModifiedInPlace(t *testing.T) {
	l := startLive(t, inventoryDefinition(t))
	before := l.s
	l.step(Event{Data: map[string]any{"failures": 9}})
	if before.Data["failures"] != 0 || l.s.Data["failures"] != 9 {
		t.Errorf("before %v, after %v", before.Data, l.s.Data)
	}
}

func TestWhen(t *testing.T) {
	d := inventoryDefinition(t)
	for failures, want := range map[int]bool{0: true, 1: false} {
		got, err := d.When(1, &Snapshot{Data: map[string]any{"failures": failures}}, testTime)
		if err != nil || got != want {
			t.Errorf("failures %d: %t, %v", failures, got, err)
		}
	}
	if _, err := d.When(1, &Snapshot{Data: map[string]any{"failures": "x"}}, testTime); err == nil {
		t.Error("a guard over broken data gave no error")
	}
	if ok, err := d.When(0, &Snapshot{}, testTime); !ok || err != nil {
		t.Errorf("a watcher without when is admitted always: %t, %v", ok, err)
	}
}
