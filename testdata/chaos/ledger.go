package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// kind is what is wrong.
type kind string

// The kinds of findings.
const (
	lost       kind = "lost"         // acknowledged, and not there
	doubled    kind = "doubled"      // there more often than it happened
	disordered kind = "out of order" // older after newer
	stuck      kind = "stuck"        // asked for or under way, and not done although all hosts are there
	wrong      kind = "wrong"        // there, and not what it is to be
)

// finding is one thing that is not as it must be.
type finding struct {
	kind kind
	what string
}

func (f finding) String() string { return string(f.kind) + ": " + f.what }

// ledger is what was asked for and what was acknowledged.
type ledger struct {
	mu        sync.Mutex
	nodes     map[string]bool   // by identity: whether the node has said that it is active, as the cell had confirmed
	published []publication     // in order
	revoked   map[string]bool   // identities: whether it was acknowledged
	fired     map[string]firing // by node
	broken    []finding         // what was seen to be wrong on the way
}

// publication is a version of the machine that is published.
type publication struct {
	version string
	acked   bool
}

// firing counts events that were fired at a node's machine.
type firing struct{ tried, acked int }

func newLedger() *ledger {
	return &ledger{nodes: map[string]bool{}, revoked: map[string]bool{}, fired: map[string]firing{}}
}

// note changes the ledger.
func (l *ledger) note(change func(*ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// violate notes what is wrong for good.
func (l *ledger) violate(k kind, format string, args ...any) {
	l.note(func(l *ledger) { l.broken = append(l.broken, finding{k, fmt.Sprintf(format, args...)}) })
}

// world is what the cell and its nodes say when all is quiet.
type world struct {
	register    map[string]string    // identity -> state
	keys        map[string]string    // identity -> public key
	provisioned map[string]int       // events that say that a node has joined
	startups    map[string]int       // events that say that a node has started
	twice       []string             // ids that more than one event has
	view        map[string]string    // identity -> the version of the machine that its inventory names, with the state where it does not run
	stored      map[string]time.Time // when the stream stored a node's last inventory
	listed      string               // the version that the published list names
	serials     []uint64             // of the publications, as they are stored
	revoked     map[string]bool      // identities
	answering   map[string]bool      // revoked nodes that are still reached
	ticks       map[string]int       // events that a node's machine has taken
	lacking     []string             // what hosts do not have of the streams
	panics      []string             // lines of logs
}

// judge holds what is against what was acknowledged. It returns everything that does not hold, in a stable order.
func (l *ledger) judge(w *world) []finding {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := slices.Clone(l.broken)
	add := func(k kind, format string, args ...any) {
		found = append(found, finding{k, fmt.Sprintf(format, args...)})
	}
	l.judgeNodes(w, add)
	l.judgePublications(w, add)
	for _, id := range slices.Sorted(maps.Keys(l.revoked)) {
		switch {
		case l.revoked[id] && !w.revoked[id]:
			add(lost, "the revocation of %s", id)
		case !l.revoked[id]:
			add(stuck, "the revocation of %s was never acknowledged", id)
		case w.answering[id]:
			add(wrong, "%s is revoked and answers", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.fired)) {
		switch f, has := l.fired[id], w.ticks[id]; {
		case has < f.acked:
			add(lost, "%s acknowledged %d events and has %d", id, f.acked, has)
		case has > f.tried:
			add(doubled, "%s was sent %d events and has taken %d", id, f.tried, has)
		}
	}
	for _, id := range w.twice {
		add(doubled, "the event %s", id)
	}
	for _, what := range w.lacking {
		add(stuck, "%s", what)
	}
	for _, line := range w.panics {
		add(wrong, "a panic: %s", line)
	}
	return found
}

func (l *ledger) judgeNodes(w *world, add func(kind, string, ...any)) {
	holders := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(l.nodes)) {
		acked, state := l.nodes[id], w.register[id]
		switch {
		case acked && state != "active":
			add(lost, "%s was active and the register has it as %q", id, state)
		case !acked:
			add(stuck, "%s has not joined; the register has it as %q", id, state)
		}
		if other := holders[w.keys[id]]; other != "" && w.keys[id] != "" {
			add(wrong, "%s and %s have one key in the register", other, id)
		}
		holders[w.keys[id]] = id
		switch n := w.provisioned[id]; {
		case n > 1:
			add(doubled, "%s was announced as provisioned %d times", id, n)
		case n == 0 && acked:
			add(lost, "the event that %s was provisioned", id)
		}
		_, banned := l.revoked[id]
		if acked && w.startups[id] == 0 && !banned {
			add(lost, "the event that %s has started", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(w.register)) {
		if _, known := l.nodes[id]; !known {
			add(wrong, "the register has %s, which nobody started", id)
		}
	}
}

// storedAt says what the stream has of a node's inventories.
func (w *world) storedAt(id string) string {
	if at, there := w.stored[id]; there {
		return "the stream stored its last one at " + at.UTC().Format(time.TimeOnly)
	}
	return "the stream has none"
}

func (l *ledger) judgePublications(w *world, add func(kind, string, ...any)) {
	last, acked := "", false
	for _, p := range l.published {
		last, acked = p.version, p.acked
	}
	if !slices.IsSorted(w.serials) {
		add(disordered, "the serials of what was published are %v", w.serials)
	}
	for i := 1; i < len(w.serials); i++ {
		if w.serials[i] == w.serials[i-1] {
			add(doubled, "serial %d was published twice", w.serials[i])
		}
	}
	switch {
	case last == "":
		return
	case !acked:
		add(stuck, "the publication of %s was never acknowledged", last)
	case w.listed != last:
		add(lost, "%s was published last, and the list has %q", last, w.listed)
	}
	for _, id := range slices.Sorted(maps.Keys(l.nodes)) {
		_, banned := l.revoked[id]
		switch has, known := w.view[id]; {
		case banned || !l.nodes[id]:
		case !known:
			add(lost, "the inventory of %s is not in the view, or has no machine; %s", id, w.storedAt(id))
		case has != last:
			add(stuck, "%s has %s of the machine by its inventory, not %s; %s", id, has, last, w.storedAt(id))
		}
	}
}
