package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The ledger of a small run and the world in which nothing is wrong.
func nothingWrong() (*ledger, *world) {
	l := newLedger()
	for _, id := range []string{"b1n1.c1", "b1n2.c1", "b1n3.c1", "real1.c1"} {
		l.nodes[id] = true
	}
	l.published = []publication{{"1.0.1", true}, {"1.0.2", true}}
	l.revoked["b1n3.c1"] = true
	l.fired["real1.c1"] = firing{tried: 5, acked: 4}
	w := &world{
		register: map[string]string{}, keys: map[string]string{}, provisioned: map[string]int{}, startups: map[string]int{}, view: map[string]string{},
		listed: "1.0.2", serials: []uint64{1, 2}, revoked: map[string]bool{"b1n3.c1": true}, answering: map[string]bool{"b1n3.c1": false},
		ticks: map[string]int{"real1.c1": 5},
	}
	for id := range l.nodes {
		w.register[id], w.keys[id], w.provisioned[id], w.startups[id], w.view[id] = "active", "key of "+id, 1, 1, "1.0.2"
	}
	return l, w
}

// Each fault that the checker is there for is found, by its kind and with the name of what it happened to, and nothing else is.
func TestTheCheckerFindsEachFault(t *testing.T) {
	const n = "b1n1.c1"
	for name, test := range map[string]struct {
		spoil func(*ledger, *world)
		want  []string
	}{
		"nothing":                     {func(*ledger, *world) {}, nil},
		"a node is gone":              {func(_ *ledger, w *world) { delete(w.register, n) }, []string{"lost: " + n}},
		"a node never joined":         {func(l *ledger, w *world) { l.nodes[n], w.register[n] = false, "assigned" }, []string{"stuck: " + n}},
		"nobody started it":           {func(_ *ledger, w *world) { w.register["x.c1"] = "active" }, []string{"wrong: the register has x.c1"}},
		"two have one key":            {func(_ *ledger, w *world) { w.keys[n] = w.keys["b1n2.c1"] }, []string{"wrong: " + n + " and b1n2.c1"}},
		"provisioned is lost":         {func(_ *ledger, w *world) { w.provisioned[n] = 0 }, []string{"lost: the event that " + n + " was"}},
		"provisioned twice":           {func(_ *ledger, w *world) { w.provisioned[n] = 2 }, []string{"doubled: " + n}},
		"startup is lost":             {func(_ *ledger, w *world) { w.startups[n] = 0 }, []string{"lost: the event that " + n + " has"}},
		"an event twice":              {func(_ *ledger, w *world) { w.twice = []string{"e1"} }, []string{"doubled: the event e1"}},
		"the list is older":           {func(_ *ledger, w *world) { w.listed = "1.0.1" }, []string{"lost: 1.0.2"}},
		"serials go back":             {func(_ *ledger, w *world) { w.serials = []uint64{2, 1} }, []string{"out of order: the serials"}},
		"a serial twice":              {func(_ *ledger, w *world) { w.serials = []uint64{1, 1} }, []string{"doubled: serial 1"}},
		"never published":             {func(l *ledger, _ *world) { l.published[1].acked = false }, []string{"stuck: the publication of 1.0.2"}},
		"a node has the one before":   {func(_ *ledger, w *world) { w.view[n] = "1.0.1" }, []string{"stuck: " + n}},
		"a node is not in the view":   {func(_ *ledger, w *world) { delete(w.view, n) }, []string{"lost: the inventory of " + n}},
		"a revocation is lost":        {func(_ *ledger, w *world) { delete(w.revoked, "b1n3.c1") }, []string{"lost: the revocation of b1n3.c1"}},
		"a revocation without answer": {func(l *ledger, _ *world) { l.revoked["b1n3.c1"] = false }, []string{"stuck: the revocation of b1n3.c1"}},
		"a revoked node is back":      {func(_ *ledger, w *world) { w.answering["b1n3.c1"] = true }, []string{"wrong: b1n3.c1"}},
		"an event is forgotten":       {func(_ *ledger, w *world) { w.ticks["real1.c1"] = 3 }, []string{"lost: real1.c1"}},
		"an event is taken twice":     {func(_ *ledger, w *world) { w.ticks["real1.c1"] = 6 }, []string{"doubled: real1.c1"}},
		"a host is behind":            {func(_ *ledger, w *world) { w.lacking = []string{"EVENTS has no leader"} }, []string{"stuck: EVENTS"}},
		"a host died":                 {func(l *ledger, _ *world) { l.violate(lost, "host o1 ended") }, []string{"lost: host o1"}},
		"a watcher panicked":          {func(_ *ledger, w *world) { w.panics = []string{"o1.log: watcher_panicked"} }, []string{"wrong: a panic"}},
	} {
		l, w := nothingWrong()
		test.spoil(l, w)
		found := l.judge(w)
		ok := len(found) == len(test.want)
		for i := range min(len(found), len(test.want)) {
			ok = ok && strings.HasPrefix(found[i].String(), test.want[i])
		}
		if !ok {
			t.Errorf("%s: found %q, want %q", name, found, test.want)
		}
	}
}

// The same seed makes the same schedule, another one another, and no fault begins before the one before it is over.
func TestASeedMakesItsSchedule(t *testing.T) {
	const length = 20 * time.Minute
	seen := map[fault]bool{}
	for seed := range uint64(20) {
		steps := schedule(seed, length, allFaults())
		if !slices.Equal(steps, schedule(seed, length, allFaults())) || slices.Equal(steps, schedule(seed+1, length, allFaults())) {
			t.Errorf("seed %d does not make a schedule of its own", seed)
		}
		var over time.Duration
		for _, s := range steps {
			if s.at >= length || s.fault != "" && s.at < over {
				t.Errorf("seed %d: %s begins after %s, and the fault before it ends after %s", seed, s, s.at, over)
			}
			if s.fault != "" {
				over, seen[s.fault] = s.at+s.lasts, true
			}
		}
	}
	if len(seen) != len(allFaults()) {
		t.Errorf("20 seeds have the faults %v", seen)
	}
}
