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

// longManifest is a chain of steps, each with a program and a deadline; what fails or takes too long leads to a state that waits. It is
// written so that 5,000 steps are just below the largest document that is read.
func longManifest(steps int) []byte {
	var b strings.Builder
	b.WriteString("format: 1\nname: long\nversion: 1.0.0\ninitial_state: s0\nstates:\n  end: {final: success}\n  broken: {home: true}\n")
	for i := range steps {
		fmt.Fprintf(&b, "  s%d: {after: {1h: bad}}\n", i)
	}
	b.WriteString("transitions:\n- {name: bad, from: ['*'], destination: broken}\n- {name: again, from: [broken], destination: s0}\n")
	for i := range steps - 1 {
		fmt.Fprintf(&b, "- {name: e%d, from: [s%d], destination: s%d}\n", i, i, i+1)
	}
	fmt.Fprintf(&b, "- {name: e%d, from: [s%d], destination: end}\nwatchers:\n", steps-1, steps-1)
	b.WriteString("- {name: wait, type: timer, state_match: [broken], fail_transition: again, properties: {timer: 1h}}\n")
	for i := range steps {
		fmt.Fprintf(&b, "- {name: w%d, type: exec, state_match: [s%d], success_transition: e%d, fail_transition: bad, properties: {command: ./x}}\n", i, i, i)
	}
	return []byte(b.String())
}

func TestLargeManifestIsClean(t *testing.T) {
	if d, list := Load("m.yaml", largeManifest(50), checkTypes()); d == nil || len(list) > 0 {
		t.Fatal(list)
	}
}

func TestLongManifestIsClean(t *testing.T) {
	if d, list := Load("m.yaml", longManifest(5000), checkTypes()); d == nil || len(list) > 0 {
		t.Fatal(list)
	}
}

// BenchmarkCheck loads a machine of 50 states and 100 transitions, which is to take well under a second, and
// chains of steps, whose time is to grow as they do.
func BenchmarkCheck(b *testing.B) {
	types := checkTypes()
	benchmark := func(name string, src []byte) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if d, list := Load("m.yaml", src, types); d == nil {
					b.Fatal(list)
				}
			}
		})
	}
	benchmark("50states", largeManifest(50))
	for _, steps := range []int{100, 1000, 5000} {
		benchmark(fmt.Sprintf("%dsteps", steps), longManifest(steps))
	}
}
