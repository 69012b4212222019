package machine

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const visitor = `format: 1
name: visitor
version: 1.0.0
initial_state: outside
data: {note: {type: string, default: none}, seen: {type: integer}}
states: {outside: {home: true}, kitchen: {home: true}, cellar: {home: true}, hall: {after: {1m: waited}}}
groups:
  rooms: [kitchen, hall]
  house: {states: [rooms, cellar], description: anywhere inside, after: {10m: remind, 30m: leave}}
  tour: {states: [kitchen], after: {5m: stroll}}
  anywhere: {states: "*", after: {24h: closing}}
transitions:
  - {name: enter, from: [outside], destination: hall, set: {note: "'in'", seen: "1"}}
  - {name: enter, from: [house], destination: hall, reenter: true}
  - {name: stroll, from: [house], destination: kitchen}
  - {name: descend, from: [rooms], destination: cellar}
  - {name: waited, from: [hall]}
  - {name: remind, from: [house]}
  - {name: forget, from: [house, outside], clear: [note, seen]}
  - {name: leave, from: [house], destination: outside}
  - {name: closing, from: ["*"], destination: closed}
  - {name: open, from: [closed], destination: outside}
watchers:
  - {name: door, type: exec, state_match: [outside], success_transition: enter}
  - {name: lock, type: exec, state_match: [closed], success_transition: open}
`

func visitorDefinition(t testing.TB, edits ...string) *Definition {
	t.Helper()
	d, list := Load("visitor.yaml", []byte(strings.NewReplacer(edits...).Replace(visitor)), nil)
	if d == nil {
		t.Fatalf("the manifest is refused:\n%v", list)
	}
	return d
}

func TestAGroupStandsForItsStates(t *testing.T) {
	d := visitorDefinition(t)
	if diff := cmp.Diff([]string{"kitchen", "hall", "cellar"}, d.Manifest.Transitions[1].From); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"outside", "hall", "kitchen", "cellar", "closed"}, d.Manifest.Groups[3].States); diff != "" {
		t.Errorf(`states of "*" (-want +got):\n%s`, diff)
	}
	if diff := cmp.Diff([]string{"rooms", "house", "tour", "anywhere"}, d.GroupsOf("kitchen")); diff != "" {
		t.Errorf("groups of a state (-want +got):\n%s", diff)
	}
}

// wantGroups holds since when the machine is in its groups, in seconds after the test's start.
func (l *live) wantGroups(want map[string]GroupVisit) {
	l.t.Helper()
	got := map[string]GroupVisit{}
	for name, v := range l.s.Groups {
		got[name] = v
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Errorf("groups after record %d, in %s (-want +got):\n%s", l.s.Seq, l.s.State, diff)
	}
}

func after(seconds int, fired time.Duration) GroupVisit {
	return GroupVisit{Entered: testTime.Add(time.Duration(seconds) * time.Second), Fired: fired}
}

func TestAGroupIsEnteredFromOutsideOnly(t *testing.T) {
	l := startLive(t, visitorDefinition(t))
	l.wantGroups(map[string]GroupVisit{"anywhere": after(0, 0)})
	l.step(Event{Name: "enter"}) // after 1 s
	l.wantGroups(map[string]GroupVisit{"anywhere": after(0, 0), "house": after(1, 0)})
	l.step(Event{Name: "stroll"})
	l.wantGroups(map[string]GroupVisit{"anywhere": after(0, 0), "house": after(1, 0), "tour": after(2, 0)})
	l.step(Event{Name: "descend"})
	l.step(Event{Name: "enter"})
	l.step(Event{Name: "enter"}) // the state is entered again, the group is not
	l.wantGroups(map[string]GroupVisit{"anywhere": after(0, 0), "house": after(1, 0)})
	house := l.d.TimedGroups("hall")[0]
	remind, _ := house.Next(l.s.Groups["house"])
	if r := l.step(house.DeadlineEvent(remind)); r.Kind != RecordStay || r.Cause.Group != "house" || r.Groups != nil {
		t.Errorf("%+v", r)
	}
	l.wantGroups(map[string]GroupVisit{"anywhere": after(0, 0), "house": after(1, 10*time.Minute)})
	l.step(Event{Name: "stroll"})
	leave, _ := house.Next(l.s.Groups["house"])
	if r := l.step(house.DeadlineEvent(leave)); r.To != "outside" || r.Event != "leave" {
		t.Errorf("%+v", r)
	}
	l.wantGroups(map[string]GroupVisit{"anywhere": after(0, 0)})
	l.step(Event{Name: "enter"})
	l.wantGroups(map[string]GroupVisit{"anywhere": after(0, 0), "house": after(9, 0)})
}

func TestAGroupsDeadlineThatIsRefusedHasFired(t *testing.T) {
	d := visitorDefinition(t, "{name: remind, from: [house]}", "{name: remind, from: [house], when: data.seen > 1}")
	l := startLive(t, d)
	l.step(Event{Name: "enter"})
	house := d.TimedGroups("hall")[0]
	if r := l.step(house.DeadlineEvent(&house.After[0])); r.Kind != RecordRefused {
		t.Errorf("%+v", r)
	}
	if dl, left := house.Next(l.s.Groups["house"]); !left || dl.Event != "leave" {
		t.Errorf("next is %v", dl)
	}
}

func TestGroupsOverRestartsAndUpgrades(t *testing.T) {
	kept := map[string]GroupVisit{"anywhere": after(0, 0), "house": after(1, 10*time.Minute)}
	inHall := func(edits ...string) *live {
		l := startLive(t, visitorDefinition(t, edits...))
		l.step(Event{Name: "enter"})
		for _, g := range l.d.TimedGroups("hall") {
			if g.Name == "house" {
				l.step(g.DeadlineEvent(&g.After[0]))
			}
		}
		l.at = l.at.Add(time.Minute)
		return l
	}
	t.Run("resume", func(t *testing.T) {
		l := inHall()
		l.take(l.d.Recover(&l.s, l.at))
		l.wantGroups(kept)
	})
	t.Run("initial", func(t *testing.T) {
		l := inHall("initial_state: outside", "initial_state: outside\non_restart: initial")
		l.take(l.d.Recover(&l.s, l.at))
		l.wantGroups(map[string]GroupVisit{"anywhere": after(62, 0)})
	})
	t.Run("upgrade", func(t *testing.T) {
		l := inHall()
		l.d = visitorDefinition(t, "tour: {states: [kitchen]", "tour: {states: [rooms]", "10m: remind", "5m: remind, 15m: remind")
		l.take(l.d.Replace(&l.s, l.at))
		want := map[string]GroupVisit{"anywhere": kept["anywhere"], "house": kept["house"], "tour": after(1, 0)} // since the state was entered
		l.wantGroups(want)
		house := l.d.TimedGroups("hall")[0]
		if dl, _ := house.Next(l.s.Groups["house"]); dl.After != 15*time.Minute {
			t.Errorf("after 10m fired, %s is next of 5m, 15m and 30m", dl.After)
		}
	})
	t.Run("upgrade to another state", func(t *testing.T) {
		l := inHall()
		l.d = visitorDefinition(t, "watchers:", "upgrade: {map: {hall: cellar}}\nwatchers:", "states: [rooms, cellar], description: anywhere inside,", "states: [rooms, cellar],")
		l.take(l.d.Replace(&l.s, l.at))
		l.wantGroups(kept)
	})
	t.Run("upgrade of a manifest without", func(t *testing.T) {
		from, to, _ := strings.Cut(visitor, "groups:\n")
		_, to, _ = strings.Cut(to, "transitions:")
		old := strings.NewReplacer("[house]", "[kitchen, hall, cellar]", "[house, outside]", "[kitchen, hall, cellar, outside]", "[rooms]", "[kitchen, hall]").
			Replace(from + "transitions:" + to)
		d, list := Load("old.yaml", []byte(old), nil)
		if d == nil {
			t.Fatal(list)
		}
		l := startLive(t, d)
		l.step(Event{Name: "enter"})
		if l.s.Groups != nil || strings.Contains(string(l.raw[1]), "groups") {
			t.Fatalf("a machine without groups records them: %s", l.raw[1])
		}
		l.at = l.at.Add(time.Hour)
		l.d = visitorDefinition(t)
		l.take(l.d.Replace(&l.s, l.at))
		l.wantGroups(map[string]GroupVisit{"anywhere": after(1, 0), "house": after(1, 0)})
	})
}

func TestATransitionWithoutADestinationStays(t *testing.T) {
	l := startLive(t, visitorDefinition(t))
	l.step(Event{Name: "enter"})
	entered, epoch := l.s.Entered, l.s.Epoch
	l.step(l.d.DeadlineEvent("hall", 0))
	for _, name := range []string{"remind", "forget", "waited"} {
		if r := l.step(Event{Name: name}); r.Kind != RecordStay || r.To != "hall" || r.Epoch != epoch {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if !l.s.Entered.Equal(entered) || l.s.Fired != 1 {
		t.Errorf("the visit began anew: entered %s, fired %b", l.s.Entered, l.s.Fired)
	}
	l.step(Event{Name: "descend"})
	if r := l.step(Event{Name: "remind"}); r.To != "cellar" {
		t.Errorf("%+v", r)
	}
}

func TestClearSetsBackToTheDefault(t *testing.T) {
	l := startLive(t, visitorDefinition(t))
	l.step(Event{Name: "enter"})
	if diff := cmp.Diff(map[string]any{"note": "in", "seen": 1}, l.s.Data); diff != "" {
		t.Fatal(diff)
	}
	if r := l.step(Event{Name: "forget"}); !cmp.Equal(r.Set, map[string]any{"note": "none", "seen": nil}) {
		t.Errorf("set %v", r.Set)
	}
	if diff := cmp.Diff(map[string]any{"note": "none"}, l.s.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARecordOfALaterReleaseIsNamedSo(t *testing.T) {
	for _, read := range []func() error{
		func() error { _, err := DecodeRecord([]byte(`{"seq":1,"mood":"good"}`)); return err },
		func() error { _, err := DecodeSnapshot([]byte(`{"seq":1,"mood":"good"}`)); return err },
	} {
		if err := read(); err == nil || !strings.Contains(err.Error(), `"mood": a later release of statecraft wrote it`) {
			t.Errorf("said: %v", err)
		}
	}
}

func TestATraceOfGroupsReplays(t *testing.T) {
	l := startLive(t, visitorDefinition(t))
	l.step(Event{Name: "enter"})
	house := l.d.TimedGroups("hall")[0]
	l.step(Event{Name: "stroll"})
	l.step(house.DeadlineEvent(&house.After[0]))
	l.take(l.d.Recover(&l.s, l.at))
	l.step(Event{Name: "forget"})
	l.step(house.DeadlineEvent(&house.After[1]))
	got, err := Replay(openTrace(t, l.trace(t, 3)), l.d, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(l.s, got); diff != "" {
		t.Errorf("state (-live +replayed):\n%s", diff)
	}
	other := visitorDefinition(t, ", after: {5m: stroll}", "")
	if _, err := Replay(openTrace(t, l.trace(t, 3)), other, nil, nil); err != nil {
		t.Errorf("a manifest with other groups that decides the same: %v", err)
	}
}

func TestGraphsShowDeadlinesOfGroupsAndWhatStays(t *testing.T) {
	dot := DOT(visitorDefinition(t), Graph{})
	for _, edge := range []string{
		`"kitchen" -> "outside" [label="leave (after 30m0s in house)"];`, `"cellar" -> "cellar" [label="remind (after 10m0s in house)"];`,
	} {
		if !strings.Contains(dot, edge) {
			t.Errorf("no %s in\n%s", edge, dot)
		}
	}
}
