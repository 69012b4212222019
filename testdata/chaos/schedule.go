package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// fault is what is done to a host.
type fault string

// The faults.
const (
	kill  fault = "kill"  // kill -9, and started again
	pause fault = "pause" // SIGSTOP, and SIGCONT
	fill  fault = "fill"  // its disk is full, and has room again
	cut   fault = "cut"   // nobody hears it
	part  fault = "part"  // the other hosts do not hear it; nodes do
	roll  fault = "roll"  // SIGTERM, and started again when it has ended
	both  fault = "both"  // two hosts are killed: the one phase in which more than one is away
)

func allFaults() []fault { return []fault{kill, pause, fill, cut, part, roll, both} }

// work is what the cell is given to do.
type work string

// The kinds of work.
const (
	burst   work = "burst"   // nodes join, all at once
	publish work = "publish" // the next version of the machine is published, of which all nodes tell by their inventories
	revoke  work = "revoke"  // a node is banned
	crash   work = "crash"   // a real node is killed with -9, and started again
)

// step is one thing that happens, at a time since the beginning.
type step struct {
	at     time.Duration
	fault  fault         // or
	work   work          //
	target string        // of a fault: a host, or the stream whose leader is meant; "JetStream" is the leader of all
	lasts  time.Duration // of a fault: from its beginning to its end
	before work          // of a fault: what is begun a moment before it
	count  int           // of a burst: nodes; of a revocation and a crash: which node, counted around
}

func (s step) String() string {
	switch {
	case s.work == burst:
		return fmt.Sprintf("burst of %d nodes", s.count)
	case s.work != "":
		return string(s.work)
	}
	text := fmt.Sprintf("%s %s for %.1f s", s.fault, s.target, s.lasts.Seconds())
	if s.before != "" {
		text += fmt.Sprintf(", after a %s", s.before)
	}
	return text
}

// schedule is what happens within a time: faults one after another, each over before the next begins, and work beside them. The same seed
// makes the same schedule.
func schedule(seed uint64, length time.Duration, faults []fault) []step {
	rng := rand.New(rand.NewPCG(seed, 1))
	seconds := func(from, to float64) time.Duration {
		return time.Duration((from + rng.Float64()*(to-from)) * float64(time.Second)).Round(100 * time.Millisecond)
	}
	targets := append([]string{"JetStream", "KV_NODES", "OBJ_BUNDLES", "EVENTS", "DISCOVERY", "KV_SPECS"}, hostNames()...)
	var steps []step
	for at := seconds(2, 6); len(faults) > 0; {
		s := step{at: at, fault: faults[rng.IntN(len(faults))], target: targets[rng.IntN(len(targets))], lasts: seconds(2, 12), count: 4}
		if rng.IntN(2) == 0 {
			s.before = []work{publish, burst}[rng.IntN(2)]
		}
		at += s.lasts + seconds(4, 10)
		if at > length {
			break
		}
		steps = append(steps, s)
	}
	for at := seconds(1, 4); at < length; at += seconds(6, 20) {
		s := step{at: at, work: []work{publish, publish, publish, burst, burst, burst, crash, revoke}[rng.IntN(8)], count: rng.IntN(1000)}
		if s.work == burst {
			s.count = 3 + s.count%8
		}
		steps = append(steps, s)
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	return steps
}
