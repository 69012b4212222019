package cell

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestALostLeafnodeIsToldOnce(t *testing.T) {
	both := []Leafnode{{Region: "emea", Connected: true, Waiting: map[string]uint64{"OUT": 3}}, {Region: "apac", Connected: true}}
	one := []Leafnode{{Region: "emea"}, {Region: "apac", Connected: true}}
	neither := []Leafnode{{Region: "emea"}, {Region: "apac"}}
	type step struct {
		after   time.Duration
		all     []Leafnode
		outcome string
		lost    []any
	}
	for name, steps := range map[string][]step{
		"a host without any":     {{0, nil, "none", []any{}}, {time.Hour, nil, "unchanged", []any{}}},
		"all are there":          {{0, both, "success", []any{}}, {time.Hour, both, "unchanged", []any{}}},
		"one is away for a time": {{0, both, "success", []any{}}, {0, one, "unchanged", []any{}}, {29 * time.Second, one, "unchanged", []any{}}, {0, both, "unchanged", []any{}}},
		"one is lost, then both": {
			{0, both, "success", []any{}}, {0, one, "unchanged", []any{}}, {30 * time.Second, one, "lost", []any{"emea"}}, {time.Hour, one, "unchanged", []any{"emea"}},
			{0, neither, "unchanged", []any{"emea"}}, {30 * time.Second, neither, "lost", []any{"emea", "apac"}}, {0, both, "success", []any{}},
		},
		"one that was never there": {{0, one, "success", []any{}}, {30 * time.Second, one, "lost", []any{"emea"}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &fakeBroker{}
			w := &leafnodesWatch{spec: &leafnodesSpec{Patience: strict.Duration(30 * time.Second)}, broker: b}
			at, moment := time.Unix(1_800_000_000, 0), watchers.Entered
			for i, s := range steps {
				at, b.health.Leafnodes = at.Add(s.after), s.all
				rep := w.Check(t.Context(), &watchers.Look{At: at, Moment: moment})
				if diff := cmp.Diff([]any{s.outcome, s.lost}, []any{rep.Outcome, rep.Payload["lost"]}); diff != "" {
					t.Errorf("look %d (-want +got):\n%s", i+1, diff)
				}
				moment = watchers.Interval
			}
		})
	}
	w := &leafnodesWatch{spec: &leafnodesSpec{}, broker: &fakeBroker{health: Health{Leafnodes: both}}}
	want := map[string]any{
		"emea": map[string]any{"connected": true, "waiting": map[string]any{"OUT": 3}}, "apac": map[string]any{"connected": true, "waiting": map[string]any{}},
	}
	if diff := cmp.Diff(want, w.Check(t.Context(), &watchers.Look{}).Payload["leafnodes"]); diff != "" {
		t.Error(diff)
	}
	if rep := (&leafnodesWatch{spec: &leafnodesSpec{}}).Check(t.Context(), &watchers.Look{}); rep.Outcome != machine.OutcomeFail {
		t.Errorf("without a broker: %+v", rep)
	}
}
