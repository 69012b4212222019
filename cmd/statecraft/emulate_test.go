package main

import (
	"io"
	"slices"
	"testing"
)

// H76: emulated nodes share one journal, which none of them signs; nor does each tell the health of the one host.
func TestH76EmulatedNodesDoNotSignTheJournalThatTheyShare(t *testing.T) {
	crowd, err := newCrowd(testInvocation(t.Context(), io.Discard, io.Discard, false), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = crowd.agent.Emulate(t.Context(), "e", "example", "no token", 1, 0)
	var names []string
	for _, m := range crowd.agent.Host().Machines() {
		names = append(names, m.Name)
	}
	if err := crowd.end(); err != nil {
		t.Error(err)
	}
	if err != nil || !slices.Contains(names, "e1.example/enrollment") {
		t.Fatalf("%v: the node runs %v", err, names)
	}
	for _, name := range []string{"e1.example/evidence", "e1.example/health"} {
		if slices.Contains(names, name) {
			t.Errorf("the node runs %s", name)
		}
	}
}
