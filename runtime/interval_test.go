package runtime_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/watchers"
)

// visiting looks in a, and leaves it when it has looked. KEYS is for the top level, BACK for the transition that comes back.
const visiting = `
KEYS
name: visits
version: 1.0.0
initial_state: a
transitions:
	- {name: up, from: [a], destination: b}
	- {name: down, from: [b], destination: a BACK}
	- {name: aside, from: [a], destination: b}
watchers:
	- {name: x, type: probe, state_match: [a], interval: 1m, success_transition: up}
	- {name: y, type: quick, state_match: [b], timeout: 5m, success_transition: down}
`

// visits is the machine with what is different in it.
func visits(t *testing.T, keys, back string) *simulation {
	t.Helper()
	fakes := newFakes()
	fakes.check("quick", func(context.Context, *watchers.Look) watchers.Report { return watchers.Success() })
	return simulate(t, fakes, strings.NewReplacer("KEYS", keys, "BACK", back).Replace(visiting))
}

const visitsStrictly = "format: 1\nstates: {a: {home: true}, b: {home: true}}"

// wantLooks says how many looks of x have begun and not ended.
func (s *simulation) wantLooks(want int) {
	s.t.Helper()
	if got := len(s.looks["x"]); got != want {
		s.t.Fatalf("x looks %d times, want %d", got, want)
	}
}

// backAndForth completes the look in a, which leaves it, and the one in b, which comes back.
func (s *simulation) backAndForth() {
	s.t.Helper()
	s.complete("x", watchers.Success())
	s.wantState("visits", "b")
	s.complete("y", watchers.Success())
	s.wantState("visits", "a")
}

func TestIntervalHoldsAcrossVisits(t *testing.T) {
	s := visits(t, visitsStrictly, "")
	s.Advance(10 * time.Second)
	s.backAndForth()
	s.wantLooks(0)
	s.Advance(50*time.Second - 1)
	s.wantLooks(0)
	s.Advance(1)
	s.wantLooks(1)
	// After a long time away it looks at once.
	s.complete("x", watchers.Success())
	s.Advance(2 * time.Minute)
	s.complete("y", watchers.Success())
	s.wantLooks(1)
}

func TestIntervalDoesNotHoldWhereAnotherLookIsMeant(t *testing.T) {
	tests := map[string]struct {
		keys, back string
		looks      int
	}{
		"the data has changed":          {visitsStrictly + "\ndata: {n: {type: integer, default: 0}}", ", set: {n: data.n + 1}", 1},
		"the transition says reenter":   {visitsStrictly, ", reenter: true", 1},
		"without a format, as Choria's": {"", "", 1},
		"the data has not":              {visitsStrictly + "\ndata: {n: {type: integer, default: 0}}", "", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := visits(t, test.keys, test.back)
			s.backAndForth()
			s.wantLooks(test.looks)
		})
	}
	t.Run("an operator comes back", func(t *testing.T) {
		s := visits(t, visitsStrictly, "")
		s.complete("x", watchers.Success())
		s.fire("visits", "down")
		s.wantLooks(1)
	})
	t.Run("the look before has said nothing", func(t *testing.T) {
		s := visits(t, visitsStrictly, "")
		s.fire("visits", "aside")
		s.complete("y", watchers.Success())
		s.complete("x", watchers.Failure("cancelled")) // of the first visit
		s.wantLooks(1)
	})
}

// TestWatcherLooksAtOnceInAStateThatIsNew has one watcher in two states: what it has seen in the one says nothing of the other.
func TestWatcherLooksAtOnceInAStateThatIsNew(t *testing.T) {
	s := simulate(t, newFakes(), `
format: 1
name: visits
version: 1.0.0
initial_state: a
states: {a: {home: true}, b: {home: true}}
transitions:
	- {name: move, from: [a], destination: b}
	- {name: move, from: [b], destination: a}
watchers:
	- {name: x, type: probe, interval: 1m, success_transition: move}
`)
	s.complete("x", watchers.Success())
	s.wantState("visits", "b")
	s.wantLooks(1)
	s.complete("x", watchers.Success())
	s.wantState("visits", "a")
	s.wantLooks(0)
	s.Advance(time.Minute)
	s.wantLooks(1)
}
