package runtime

import (
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// throttle is what the brake of a machine knows, over elapsed time. Its zero value lets everything through. It is not kept: a host that
// starts again begins with it.
type throttle struct {
	used  float64 // tokens taken and not yet refilled, where the brake is a rate
	turns int     // without a quiet time, where it is Choria's back-off
	at    time.Duration
	until time.Duration // when the next event is taken, 0 for at once
	calm  time.Duration // when a machine that is throttled counts as calm again, 0 while it is not throttled
}

// slowed is a machine that is throttled, as others see it.
type slowed struct {
	since time.Time
	given bool // by a rate that its author has written
}

// slowedTooLong is after which time a machine that does not stop turning makes its host degraded.
const slowedTooLong = 5 * time.Minute

// take notes an event that the machine has taken. Operators' events are taken without waiting. Of a rate that is written they use a token
// and leave the others to wait for one, however many they are; otherwise the machine begins anew with each, as what an operator has it do
// over and over is no turning of its own.
func (t *throttle) take(m *machine.Manifest, r *machine.Record, now time.Duration, random func(time.Duration) time.Duration) {
	switch {
	case m.Brake != machine.BrakeGiven && r.Cause.Kind == machine.CauseOperator:
		t.used, t.turns, t.until = 0, 0, 0
		return
	case !m.Brake.Counts(r):
		return
	case m.Brake == machine.BrakeBackOff:
		t.backOff(now, random)
		return
	}
	perToken := m.MaxRate.Per / time.Duration(m.MaxRate.Count)
	t.used = min(max(0, t.used-float64(now-t.at)/float64(perToken))+1, float64(m.MaxRate.Count))
	t.at = now
	if excess := t.used - float64(m.MaxRate.Count) + 1; excess > 0 {
		t.until = now + time.Duration(excess*float64(perToken))
	}
}

func (t *throttle) backOff(now time.Duration, random func(time.Duration) time.Duration) {
	if now-t.at >= machine.QuietTime {
		t.turns = 0
	}
	t.turns, t.at = t.turns+1, now
	if pause := machine.BackOff(t.turns); pause > 0 {
		t.until = now + pause/2 + random(pause)
	}
}

// holds reports whether events must wait, and forgets a time that has passed.
func (t *throttle) holds(now time.Duration) bool {
	if t.until > now {
		return true
	}
	t.until = 0
	return false
}

// kept reports whether something of the machine waits for its brake.
func (u *unit) kept() bool {
	if u.snap == nil || u.removed || !u.throttle.holds(u.elapsed) {
		return false
	}
	u.box.mu.Lock()
	waiting := u.box.others.len() > 0
	u.box.mu.Unlock()
	if d, ok := u.deadline(); waiting || ok && d.due <= u.elapsed {
		return true
	}
	for i := range u.watches {
		if due := u.watches[i].due; due > 0 && due <= u.elapsed && u.prog.prepared[i].Inline {
			return true
		}
	}
	return false
}

// showThrottled says that the machine is throttled where something waits for its brake, and that it is no more when nothing has waited for
// a quiet time.
func (u *unit) showThrottled() {
	t := &u.throttle
	switch now := u.kept(); {
	case now:
		t.calm = max(t.until, u.elapsed) + machine.QuietTime
		if u.slowed.Load() == nil {
			u.beginThrottled()
		}
	case t.calm > 0 && t.calm <= u.elapsed:
		t.calm = 0
		u.slowed.Store(nil)
		u.host.log.Info("machine_not_throttled", "machine", u.name)
		u.host.publisher.throttled(u, false)
	}
}

func (u *unit) beginThrottled() {
	m := u.prog.def.Manifest
	u.slowed.Store(&slowed{since: u.wall, given: m.Brake == machine.BrakeGiven})
	u.host.metrics.throttled.WithLabelValues(m.Name).Inc()
	u.host.log.Warn("machine_throttled", "machine", u.name, "state", u.snap.State, "pace", m.Pace(),
		"hint", "statecraft why "+u.name+" says what turns; give it a pause (interval, a timer, a deadline), or the machine a max_rate")
	u.host.publisher.throttled(u, true)
}

// unthrottle begins anew: a full bucket, nothing waits.
func (u *unit) unthrottle() {
	u.throttle = throttle{}
	u.slowed.Store(nil)
}

// throttledTooLong names the machines that have been turning without a pause for so long that somebody has to look. One whose author has
// written how fast it may be is none of them.
func (h *Host) throttledTooLong() (reasons []string) {
	now := h.cfg.Clock.Now()
	for _, u := range h.all() {
		s, p := u.slowed.Load(), u.published.Load()
		if s != nil && p != nil && !s.given && now.Sub(s.since) >= slowedTooLong {
			reasons = append(reasons, fmt.Sprintf("the machine %s turns without a pause and is slowed to %s since %s",
				u.name, p.prog.def.Manifest.Pace(), s.since.UTC().Format(time.RFC3339)))
		}
	}
	return reasons
}

// throttledSince is the zero time where the machine is not throttled.
func (u *unit) throttledSince() (at time.Time) {
	if s := u.slowed.Load(); s != nil {
		at = s.since
	}
	return at
}
