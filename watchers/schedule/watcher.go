package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	// lateness is how much later than planned a look may be before the clock is taken to have jumped.
	lateness = 5 * time.Second
	// refusedAgain is when the end of a window is looked at again after that look was left out.
	refusedAgain = time.Minute
)

// watcher follows the calendar for one machine. Plan notes what has happened and says when the next boundary is;
// Check decides what the time it is given means.
type watcher struct {
	spec   *Spec
	memory memory

	seen    time.Time // of the last look of this activation; zero when it has just begun
	next    time.Time // when a look was planned for
	arrival arrival   // what the next look has to answer
	jumped  bool
	again   bool // the next look is due at once: this one could only say the first of two things

	run     span // the windows in progress, as one; zero while there is none
	pending beginning
	owed    bool // windows were missed, one shall run in their place

	begun time.Time // of the last window whose beginning was told; stays known when the activation ends
}

// arrival is how the activation, or the visit of another matching state, began.
type arrival struct {
	moment  watchers.Moment // Started, Entered, or "" for neither
	resumed bool
	since   time.Time // of the visit
}

// beginning is the next window with its own delay.
type beginning struct{ start, opens time.Time }

func (w *watcher) on() bool { return !w.run.to.IsZero() }

// Plan implements watchers.Planner.
func (w *watcher) Plan(p watchers.Planning) watchers.Due {
	switch p.Moment {
	case watchers.Started, watchers.Entered:
		w.arrival = arrival{moment: p.Moment, resumed: p.Resumed, since: p.Since}
	case watchers.Jumped:
		w.jumped = true
	default:
		return w.plan(p)
	}
	w.next = time.Time{}
	return watchers.Due{After: 1}
}

// plan returns the next boundary.
func (w *watcher) plan(p watchers.Planning) watchers.Due {
	w.seen = p.Now
	if w.again {
		w.again = false
		return watchers.Due{After: 1}
	}
	w.next = w.boundary(p)
	switch {
	case w.next.IsZero():
		return watchers.Due{}
	case !w.next.After(p.Now):
		return watchers.Due{After: refusedAgain}
	default:
		return watchers.Due{At: w.next}
	}
}

func (w *watcher) boundary(p watchers.Planning) time.Time {
	if w.on() {
		return w.run.to
	}
	if p.Now.Before(w.pending.start) || !p.Now.Before(w.pending.opens) || w.done(w.pending.start) {
		start := w.nextStart(p.Now)
		if start.IsZero() {
			return start
		}
		if !start.Equal(w.pending.start) {
			w.pending = beginning{start, start.Add(p.Random(w.spec.StartSplay.Std()))}
		}
	}
	return w.pending.opens
}

// done reports whether the window that begins at start has been lived through, or was dropped.
func (w *watcher) done(start time.Time) bool {
	_, done := w.memory.lived(start.Add(w.spec.calendar.length))
	return done
}

// nextStart returns the beginning of the next window that is not done.
func (w *watcher) nextStart(t time.Time) time.Time {
	length := w.spec.calendar.length
	for {
		start := w.spec.calendar.next(t)
		piece, done := w.memory.lived(start.Add(length))
		if start.IsZero() || !done {
			return start
		}
		t = start
		if skip := piece.to.Add(-length); skip.After(t) {
			t = skip
		}
	}
}

// open returns the window that is open at now and ends last, the zero span where there is none.
func (w *watcher) open(now time.Time) span {
	start := w.spec.calendar.latest(now)
	if start.IsZero() || w.done(start) {
		return span{}
	}
	if !w.on() && start.Equal(w.pending.start) && now.Before(w.pending.opens) {
		return span{}
	}
	return span{start, start.Add(w.spec.calendar.length)}
}

// Check reports what has begun or ended.
func (w *watcher) Check(_ context.Context, look *watchers.Look) watchers.Report {
	now, came := look.At, w.arrival
	w.arrival = arrival{}
	missed := w.pass(now, came)
	wasOn := w.on()
	message := w.follow(now)
	if missed > 0 {
		message = missedMessage(missed, w.owed) + message
	}
	w.seen, w.jumped = now, false
	report := w.report(now, came, wasOn)
	if message != "" {
		report.Message = message
	}
	return report
}

// report makes the report of what is now and was before.
func (w *watcher) report(now time.Time, came arrival, wasOn bool) watchers.Report {
	entered := came.moment != "" && !came.resumed
	switch on := w.on(); {
	case on && came.moment == watchers.Entered && w.spec.SkipTriggerOnReenter && (wasOn || w.began(now)):
		return watchers.Report{Outcome: watchers.OutcomeUnchanged, State: state("skipped")}
	case on && (entered || !wasOn):
		w.begun = w.run.from
		return watchers.Report{Outcome: machine.OutcomeSuccess, State: state("on"), Payload: map[string]any{
			"start": w.run.from.UTC().Format(time.RFC3339), "end": w.run.to.UTC().Format(time.RFC3339),
		}}
	case !on && wasOn:
		return watchers.Report{Outcome: machine.OutcomeFail, Message: "the window has ended", State: state("off")}
	case !on && entered:
		return watchers.Report{Outcome: machine.OutcomeFail, Message: "it is outside of any window", State: state("off")}
	case on:
		return watchers.Report{Outcome: watchers.OutcomeUnchanged, State: state("on"), Quiet: true}
	default:
		return watchers.Report{Outcome: watchers.OutcomeUnchanged, State: state("off"), Quiet: true}
	}
}

// began reports whether the window in progress began before now, or its beginning at this very instant was told already.
func (w *watcher) began(now time.Time) bool {
	return w.run.from.Before(now) || w.run.from.Equal(w.begun)
}

func state(name string) map[string]any { return map[string]any{"state": name} }

func missedMessage(n int, owed bool) string {
	count := fmt.Sprint(n)
	if n == maxMissed {
		count += " or more"
	}
	if owed {
		return count + " windows were missed, one runs in their place; "
	}
	return count + " windows were missed; "
}

// Reset forgets what is in progress. What has been lived through stays known.
func (w *watcher) Reset() {
	w.seen, w.next, w.arrival = time.Time{}, time.Time{}, arrival{}
	w.run, w.pending = span{}, beginning{}
	w.jumped, w.again, w.owed = false, false, false
}
