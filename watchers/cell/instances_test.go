package cell

import (
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/watchers"
)

type someTemplates []Instances

func (s *someTemplates) Instances() []Instances { return *s }

// TestTemplatesThatAreCrowdedAreTold from 80 % on, once, and again when they are others or none any more.
func TestTemplatesThatAreCrowdedAreTold(t *testing.T) {
	of := &someTemplates{}
	w := &instances{spec: &instancesSpec{Above: 80}, of: of}
	for i, step := range []struct {
		enrollee, turn int
		moment         watchers.Moment
		outcome, says  string
	}{
		{15_999, 0, watchers.Entered, "success", ""},
		{15_999, 0, watchers.Interval, "unchanged", ""},
		{16_000, 0, watchers.Interval, "crowded", "16000 of 20000 instances of enrollee run"},
		{17_000, 0, watchers.Interval, "unchanged", ""},
		{17_000, 2000, watchers.Interval, "crowded", "enrollee run; 2000 of 2000 instances of turn run"},
		{15_000, 0, watchers.Interval, "crowded", "15000 of 20000"},
		{14_999, 0, watchers.Interval, "success", ""},
		{20_000, 0, watchers.Entered, "crowded", "20000 of 20000"},
	} {
		*of = []Instances{{"turn", step.turn, 2000}, {"enrollee", step.enrollee, 20_000}}
		rep := w.Check(t.Context(), &watchers.Look{Moment: step.moment})
		if rep.Outcome != step.outcome || !strings.Contains(rep.Message, step.says) {
			t.Errorf("step %d: %s %q, want %s", i+1, rep.Outcome, rep.Message, step.outcome)
		}
	}
	*of = []Instances{{"turn", 0, 2000}}
	if rep := w.Check(t.Context(), &watchers.Look{Moment: watchers.Interval}); rep.Outcome != "success" {
		t.Errorf("when the crowded template is gone: %s %q", rep.Outcome, rep.Message)
	}
	if rep := (&instances{spec: &instancesSpec{Above: 80}}).Check(t.Context(), &watchers.Look{}); rep.Outcome != "fail" {
		t.Errorf("without a host it is %s", rep.Outcome)
	}
}
