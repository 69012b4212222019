package manifests_test

import (
	"os"
	"slices"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// TestAStepInTheMiddleOfTheHandshakeIsAHole holds that check says what no test of the machine sees: one step more between two states that
// hold a connection ends it, and no node joins any more.
func TestAStepInTheMiddleOfTheHandshakeIsAHole(t *testing.T) {
	src, err := os.ReadFile("testdata/hole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, list := machine.Load("hole.yaml", src, all.New(all.Services{}))
	var got []string
	for _, f := range list {
		if f.Severity != diag.Note {
			got = append(got, string(f.Code)+" "+f.Message)
		}
	}
	want := []string{
		"SC421 watcher listener pauses in the state vetting: it is active in every state before and behind",
		"SC421 watcher session pauses in the state vetting: it is active in every state before and behind",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, wanted %q", got, want)
	}
}
