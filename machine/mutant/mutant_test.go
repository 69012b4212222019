package mutant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/mutant"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// small is a manifest with a bit of everything.
const small = `format: 1
name: small
version: 1.0.0
initial_state: up
data: {n: {type: integer, default: 0}}
states:
  up: {home: true}
  down: {after: {5m: forget}}
  gone: {final: failure}
groups: {all: [up, down]}
transitions:
  - {name: broke, from: [up], destination: down, when: data.n < 2, set: {n: data.n + 1}}
  - {name: broke, from: [up], destination: gone}
  - {name: forget, from: [all], clear: [n], subscribe: [{machine_name: other, event: done}]}
  - {name: forget, from: [down], destination: up}
watchers:
  - name: check
    type: exec
    state_match: [all]
    interval: 10s
    fail_transition: broke
    on: {timeout: forget}
    retry: {max: 2, then: broke}
    properties: {command: 'check {{ lookup "data.n" "" }}'}
`

const wanted = `
1 key misspelt: the manifest: the key formatt in place of format
2 key misspelt: the manifest: the key namee in place of name
3 key misspelt: the manifest: the key versionn in place of version
4 key misspelt: the manifest: the key initial_statee in place of initial_state
5 key misspelt: the manifest: the key dataa in place of data
6 key misspelt: the manifest: the key statess in place of states
10 key misspelt: the manifest: the key groupss in place of groups
11 key misspelt: the manifest: the key transitionss in place of transitions
16 key misspelt: the manifest: the key watcherss in place of watchers
4 state misspelt: initial_state: upp in place of up
5 key misspelt: data n: the key typee in place of type
5 key misspelt: data n: the key defaultt in place of default
7 state misspelt: states: upp in place of up
7 key misspelt: state up: the key homee in place of home
7 home dropped: state up: no home
8 state misspelt: states: downn in place of down
8 key misspelt: state down: the key afterr in place of after
8 event misspelt: state down: the deadline 5m: forgett in place of forget
8 deadline dropped: state down: no deadline 5m: forget
9 state misspelt: states: gonee in place of gone
9 key misspelt: state gone: the key finall in place of final
9 final dropped: state gone: no final
10 state misspelt: group all: upp in place of up
10 list of states loses one: group all without up
10 state misspelt: group all: downn in place of down
10 list of states loses one: group all without down
10 list of states gains one: group all with gone besides
12 transition deleted: no transition broke on line 12
12 key misspelt: transition broke on line 12: the key namee in place of name
12 key misspelt: transition broke on line 12: the key fromm in place of from
12 key misspelt: transition broke on line 12: the key destinationn in place of destination
12 key misspelt: transition broke on line 12: the key whenn in place of when
12 key misspelt: transition broke on line 12: the key sett in place of set
12 event misspelt: transition broke on line 12: brokee in place of broke
12 state misspelt: transition broke on line 12: from: upp in place of up
12 state misspelt: transition broke on line 12: destination: downn in place of down
12 destination dropped: transition broke on line 12: no destination
12 destination is another state: transition broke on line 12: destination up in place of down
12 data misspelt: transition broke on line 12: when: nn in place of n
12 guard dropped: transition broke on line 12: no when
12 guard never true: transition broke on line 12: a guard that is never true
12 guard turned round: transition broke on line 12: the guard turned round
12 rival without a guard: transition broke on line 12: one to up without a guard before it
12 data misspelt: transition broke on line 12: set nn in place of n
12 data misspelt: transition broke on line 12: set n: nn in place of n
12 assignment dropped: transition broke on line 12: n is not set
12 counter not raised: transition broke on line 12: n is set to data.n
13 transition deleted: no transition broke on line 13
13 event misspelt: transition broke on line 13: brokee in place of broke
13 state misspelt: transition broke on line 13: from: upp in place of up
13 state misspelt: transition broke on line 13: destination: gonee in place of gone
13 destination dropped: transition broke on line 13: no destination
13 destination is another state: transition broke on line 13: destination down in place of gone
14 transition deleted: no transition forget on line 14
14 key misspelt: transition forget on line 14: the key clearr in place of clear
14 key misspelt: transition forget on line 14: the key subscribee in place of subscribe
14 event misspelt: transition forget on line 14: forgett in place of forget
14 state misspelt: transition forget on line 14: from: alll in place of all
14 data misspelt: transition forget on line 14: clear: nn in place of n
14 assignment dropped: transition forget on line 14: no clear
14 subscription dropped: transition forget on line 14: no subscribe
15 transition deleted: no transition forget on line 15
15 event misspelt: transition forget on line 15: forgett in place of forget
15 state misspelt: transition forget on line 15: from: downn in place of down
15 state misspelt: transition forget on line 15: destination: upp in place of up
15 destination dropped: transition forget on line 15: no destination
15 destination is another state: transition forget on line 15: destination gone in place of up
17 watcher deleted: no watcher check
17 key misspelt: watcher check: the key namee in place of name
18 key misspelt: watcher check: the key typee in place of type
19 key misspelt: watcher check: the key state_matchh in place of state_match
20 key misspelt: watcher check: the key intervall in place of interval
21 key misspelt: watcher check: the key fail_transitionn in place of fail_transition
22 key misspelt: watcher check: the key onn in place of on
23 key misspelt: watcher check: the key retryy in place of retry
24 key misspelt: watcher check: the key propertiess in place of properties
18 type misspelt: watcher check: execc in place of exec
19 state misspelt: watcher check: state_match: alll in place of all
19 list of states gains one: watcher check: state_match with gone besides
21 event misspelt: watcher check: fail_transition: brokee in place of broke
21 event dropped: watcher check: no fail_transition
21 another event: watcher check: fail_transition forget in place of broke
22 event misspelt: watcher check: on timeout: forgett in place of forget
22 event dropped: watcher check: no on
23 key misspelt: watcher check: retry: the key maxx in place of max
23 key misspelt: watcher check: retry: the key thenn in place of then
23 retry dropped: watcher check: no retry
23 event misspelt: watcher check: retry: then: brokee in place of broke
23 event dropped: watcher check: retry: no then
23 another event: watcher check: retry: then forget in place of broke
20 interval dropped: watcher check: no interval
20 time-out above the interval: watcher check: a timeout of 20s, and looks every 10s
24 key misspelt: watcher check: properties: the key commandd in place of command
24 data misspelt: watcher check: command: nn in place of n
`

// TestMutantsAreWhatTheySay lists every mutant of a manifest.
func TestMutantsAreWhatTheySay(t *testing.T) {
	var got strings.Builder
	got.WriteByte('\n')
	for _, m := range mutant.Of("small.yaml", []byte(small)) {
		fmt.Fprintf(&got, "%d %s: %s\n", m.Pos.Line, m.Kind, m.What)
	}
	if diff := cmp.Diff(wanted, got.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestMutantsHaveOneDefect holds that each can be read, is another than the manifest and than every other, and leaves it as it was.
func TestMutantsHaveOneDefect(t *testing.T) {
	texts := map[string]string{}
	all := mutant.Of("small.yaml", []byte(small))
	for i := range all {
		m := &all[i]
		text := string(m.Source())
		if root, list := strict.Parse("m.json", []byte(text)); root == nil {
			t.Errorf("%s cannot be read: %v", m.What, list)
		}
		if other, twice := texts[text]; twice {
			t.Errorf("%s is the same as %s", m.What, other)
		}
		texts[text] = m.What
		if again := string(m.Source()); again != text {
			t.Errorf("%s is another one when it is made again", m.What)
		}
	}
	again := mutant.Of("small.yaml", []byte(small))
	for i := range again {
		if texts[string(again[i].Source())] == "" {
			t.Errorf("%s is another one in a second run", again[i].What)
		}
	}
}

func TestSamplesAreChosenByTheSeed(t *testing.T) {
	all := mutant.Of("small.yaml", []byte(small))
	names := func(most int, seed uint64) (list []string) {
		for _, m := range mutant.Sample(all, most, seed) {
			list = append(list, m.What)
		}
		return list
	}
	one := names(10, 1)
	if len(one) != 10 || !slices.Equal(one, names(10, 1)) || slices.Equal(one, names(10, 2)) {
		t.Errorf("seeds choose %q and %q", one, names(10, 2))
	}
	if n := len(names(10_000, 1)); n != len(all) {
		t.Errorf("%d of %d where there are fewer than asked for", n, len(all))
	}
	if n := len(names(0, 1)) + len(names(-1, 1)); n != 0 {
		t.Errorf("%d where none is asked for", n)
	}
}

func TestWhatIsNoManifestHasNoMutants(t *testing.T) {
	for _, src := range []string{"", "[", "a", "[a, b]", "1", "null", "{}", "transitions: 1\nwatchers: {}\nstates: [a]\ngroups: x\ndata: 1"} {
		for _, m := range mutant.Of("x.yaml", []byte(src)) {
			if len(m.Source()) == 0 {
				t.Errorf("%q: %s has no text", src, m.What)
			}
		}
	}
}
