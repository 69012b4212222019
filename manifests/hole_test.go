package manifests_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// TestAStepInTheMiddleOfTheHandshakeIsAHole puts one step more between two states of the enrollment that hold a connection, without a word to
// what holds them: the handshake begins anew for ever, and no node joins any more. No test of the machine sees it.
func TestAStepInTheMiddleOfTheHandshakeIsAHole(t *testing.T) {
	src, err := manifests.Files.ReadFile("node/enrollment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const good = "destination: staging, set: {document: event.payload.document}}\n"
	edits := []string{
		good, strings.Replace(good, "staging", "vetting", 1) +
			"  - {name: vetted, from: [vetting], destination: staging}\n  - {name: vet_refused, from: [vetting], destination: pending}\n",
		"\nwatchers:\n", "\nwatchers:\n  - {name: vet, type: exec, state_match: [vetting], success_transition: vetted, fail_transition: vet_refused,\n" +
			"     properties: {command: /bin/true}}\n",
	}
	text := strings.NewReplacer(edits...).Replace(string(src))
	_, list := machine.Load("enrollment.yaml", []byte(text), all.New(all.Services{}))
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
