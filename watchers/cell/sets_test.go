package cell

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestKeysThatReportsSetAreNamed holds that check is told of the keys of data that reports set, so that it does not take them for the machine's own.
func TestKeysThatReportsSetAreNamed(t *testing.T) {
	broker := &brokerWatch{spec: &brokerSpec{Action: "look", Room: 64, DataItem: "far"}, broker: &fakeBroker{health: well()}}
	copying := &transfer{spec: &transferSpec{DataItem: "far"}}
	for _, c := range []struct {
		of     watchers.Type
		report watchers.Report
	}{
		{brokerType(nil), broker.Check(t.Context(), &watchers.Look{Moment: watchers.Entered})},
		{transferType(nil), copying.report(outcomeProgress, Progress{}, nil)},
	} {
		for properties, want := range map[string][]string{"data_item: far": slices.Collect(maps.Keys(c.report.Data)), "x: 1": nil} {
			n, list := strict.Parse("m.yaml", []byte(properties))
			if list.HasErrors() {
				t.Fatal(list)
			}
			if c.of.Sets == nil {
				t.Errorf("%s: names no keys", c.of.Name)
			} else if diff := cmp.Diff(want, c.of.Sets(&machine.WatcherSpec{Properties: n})); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", c.of.Name, properties, diff)
			}
		}
	}
}
