package machine

import (
	"fmt"
	"strings"
	"testing"
)

// largeManifest is a ring of states with a second event across it, and a watcher in every state.
func largeManifest(states int) []byte {
	var b strings.Builder
	b.WriteString("format: 1\nname: large\nversion: 1.0.0\ninitial_state: s0\ndata: {n: {type: integer, default: 0}}\ntransitions:\n")
	for i := range states {
		fmt.Fprintf(&b, "  - {name: next, from: [s%d], destination: s%d, when: data.n < %d}\n", i, (i+1)%states, i+1)
		fmt.Fprintf(&b, "  - {name: next, from: [s%d], destination: s%d, set: {n: data.n + 1}}\n", i, (i+states/2)%states)
	}
	b.WriteString("watchers:\n")
	for i := range states {
		fmt.Fprintf(&b, "  - {name: w%d, type: exec, state_match: [s%d], interval: 10s, success_transition: next, properties: {command: ./x}}\n", i, i)
	}
	return []byte(b.String())
}

func TestLargeManifestIsClean(t *testing.T) {
	if d, list := Load("m.yaml", largeManifest(50), checkTypes()); d == nil || len(list) > 0 {
		t.Fatal(list)
	}
}

// BenchmarkCheck loads a machine of 50 states and 100 transitions, which is to take well under a second.
func BenchmarkCheck(b *testing.B) {
	src, types := largeManifest(50), checkTypes()
	for b.Loop() {
		if d, list := Load("m.yaml", src, types); d == nil {
			b.Fatal(list)
		}
	}
}
