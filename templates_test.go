package statecraft_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/scenario"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// TestWhatNewWritesPassesItsScenarios runs the scenarios of every kind of `statecraft new` as they lie in the repository, so that a change of how scenarios run meets
// them in each landing.
func TestWhatNewWritesPassesItsScenarios(t *testing.T) {
	kinds, err := filepath.Glob("cmd/statecraft/templates/*")
	if err != nil || len(kinds) < 2 {
		t.Fatalf("%d kinds: %v", len(kinds), err)
	}
	for _, kind := range kinds {
		report, list, err := scenario.Run(t.Context(), filepath.Join(kind, "machine"+scenario.Suffix), all.New(all.Services{}))
		if err != nil || len(list) > 0 {
			t.Errorf("%s: %v %v", kind, err, list)
			continue
		}
		for _, r := range report.Tests {
			for _, f := range r.Failures {
				t.Errorf("%s: %s\n%s", r.Name, f, strings.Join(r.Transcript, "\n"))
			}
		}
		if !report.Coverage.Full() {
			t.Errorf("%s: its tests cover %+v", kind, report.Coverage)
		}
	}
}
