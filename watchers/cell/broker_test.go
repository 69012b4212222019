package cell

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// fakeBroker is as its test says.
type fakeBroker struct {
	health   Health
	restarts int
	err      error
}

func (b *fakeBroker) Health() Health { return b.health }

func (b *fakeBroker) Restart(context.Context) error {
	b.restarts++
	return b.err
}

const gib = 1 << 30

// well is a broker of a cluster that nothing is wrong with.
func well() Health {
	return Health{Running: true, Enabled: true, Clustered: true, Current: true, Leader: "o1", Free: 100 * gib, Size: 200 * gib, Limit: 10 * gib}
}

// taken is how many of a hundred connections of a listener are taken.
func taken(n int) func(*Health) {
	return func(h *Health) { h.Connections = []Connections{{Listener: "fleet", Used: n, Limit: 100}} }
}

// fills is how many percent of its bytes the bucket of revocations has.
func fills(percent int) func(*Health) {
	return func(h *Health) { h.Filling = map[string]int{"KV_REVOKED": percent} }
}

func TestH66WhatIsWrongWithABrokerIsToldOnce(t *testing.T) {
	type step struct {
		after   time.Duration
		change  func(h *Health)
		outcome string
		cause   string
		room    bool
	}
	full := func(h *Health) { h.Free = 10 << 20 }
	off := func(h *Health) { h.Enabled = false }
	leaderless := func(h *Health) { h.Leaderless = []string{"KV_NODES"} }
	for name, steps := range map[string][]step{
		"a broker that is well":    {{0, nil, "success", "", true}, {5 * time.Second, nil, "unchanged", "", true}},
		"one that does not listen": {{0, nil, "success", "", true}, {0, func(h *Health) { h.Running, h.Enabled = false, false }, "degraded", "stopped", true}},
		"a full disk, JetStream off, room": {
			{0, full, "degraded", "disk", false}, {0, func(h *Health) { full(h); off(h) }, "degraded", "disabled", false},
			{0, func(h *Health) { full(h); off(h) }, "unchanged", "disabled", false}, {0, off, "degraded", "disabled", true}, {0, nil, "success", "", true},
		},
		"trust that was damaged, and a listener that is full": {
			{0, func(h *Health) { h.TrustFault = "seen was damaged" }, "degraded", "trust", true},
			{0, func(h *Health) { h.TrustFault = "seen was damaged"; taken(90)(h) }, "degraded", "full", true},
		},
		"a disk at the edge": {
			{0, func(h *Health) { h.Free = 63 << 20 }, "degraded", "disk", false}, {0, func(h *Health) { h.Free = 65 << 20 }, "unchanged", "disk", false},
			{0, func(h *Health) { h.Free = 97 << 20 }, "success", "", true},
		},
		"a listener that fills": {
			{0, taken(79), "success", "", true}, {0, taken(80), "degraded", "full", true}, {0, taken(70), "unchanged", "full", true}, {0, taken(69), "success", "", true},
		},
		"a stream that takes nothing more when it is full": {
			{0, fills(79), "success", "", true}, {0, fills(80), "degraded", "filling", true}, {0, fills(70), "unchanged", "filling", true}, {0, fills(69), "success", "", true},
		},
		"a small disk":                    {{0, func(h *Health) { h.Free, h.Size = 7<<20, 60<<20 }, "success", "", true}},
		"a stream that cannot be written": {{0, func(h *Health) { h.Broken = []string{"EVENTS: write error"} }, "degraded", "broken", true}},
		"too few hosts": {
			{0, func(h *Health) { h.Leader, h.Current = "", false }, "degraded", "leaderless", true},
			{time.Hour, func(h *Health) { h.Leader, h.Current = "", false }, "unchanged", "leaderless", true},
		},
		"one that is behind, and takes nothing in": {
			{0, func(h *Health) { h.Behind = []string{"EVENTS"} }, "success", "", true},
			{59 * time.Second, func(h *Health) { h.Behind = []string{"EVENTS"} }, "unchanged", "", true},
			{time.Second, func(h *Health) { h.Behind = []string{"EVENTS"} }, "degraded", "behind", true},
			{time.Second, nil, "success", "", true},
		},
		"one that is behind, and catches up": {
			{0, func(h *Health) { h.Behind, h.Moved = []string{"EVENTS"}, 1 }, "success", "", true},
			{59 * time.Second, func(h *Health) { h.Behind, h.Moved = []string{"EVENTS"}, 2 }, "unchanged", "", true},
			{59 * time.Second, func(h *Health) { h.Behind, h.Moved = []string{"EVENTS"}, 3 }, "unchanged", "", true},
		},
		"H67 streams without a leader, which no restart mends": {
			{0, leaderless, "success", "", true}, {59 * time.Second, leaderless, "unchanged", "", true}, {time.Second, leaderless, "degraded", "leaderless", true},
			{time.Hour, func(h *Health) { h.Behind = []string{"EVENTS"}; leaderless(h) }, "unchanged", "leaderless", true}, {time.Second, nil, "success", "", true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := &fakeBroker{}
			w := &brokerWatch{spec: &brokerSpec{Action: "look", Room: 64, Behind: strict.Duration(time.Minute), DataItem: "broker"}, broker: b}
			at, moment := time.Unix(1_800_000_000, 0), watchers.Entered
			for i, s := range steps {
				at = at.Add(s.after)
				b.health = well()
				if s.change != nil {
					s.change(&b.health)
				}
				rep := w.Check(t.Context(), &watchers.Look{At: at, Moment: moment})
				got := []any{rep.Outcome, rep.Payload["cause"], rep.Payload["room"]}
				if diff := cmp.Diff([]any{s.outcome, s.cause, s.room}, got); diff != "" {
					t.Errorf("look %d (-want +got):\n%s", i+1, diff)
				}
				if (rep.Payload["reason"] == "") != (s.cause == "") || rep.Data["broker"] == nil {
					t.Errorf("look %d: reason %q, data %v", i+1, rep.Payload["reason"], rep.Data)
				}
				moment = watchers.Interval
			}
		})
	}
}

// A state that is entered again is told how the broker is, although nothing has changed.
func TestAStateThatIsEnteredIsToldTheHealth(t *testing.T) {
	w := &brokerWatch{spec: &brokerSpec{Room: 64, Behind: strict.Duration(time.Minute)}, broker: &fakeBroker{health: Health{}}}
	for range 2 {
		if rep := w.Check(t.Context(), &watchers.Look{Moment: watchers.Entered}); rep.Outcome != outcomeDegraded {
			t.Errorf("%+v", rep)
		}
	}
}

func TestABrokerIsRestarted(t *testing.T) {
	b := &fakeBroker{}
	w := &brokerWatch{spec: &brokerSpec{Action: "restart"}, broker: b}
	if rep := w.Check(t.Context(), &watchers.Look{}); rep.Outcome != machine.OutcomeSuccess || b.restarts != 1 {
		t.Errorf("%+v", rep)
	}
	b.err = errors.New("the port is taken")
	if rep := w.Check(t.Context(), &watchers.Look{}); rep.Outcome != machine.OutcomeFail || rep.Message != "the port is taken" {
		t.Errorf("%+v", rep)
	}
	if rep := (&brokerWatch{spec: &brokerSpec{}}).Check(t.Context(), &watchers.Look{}); rep.Outcome != machine.OutcomeFail {
		t.Errorf("without a broker: %+v", rep)
	}
}
