package watchers

import (
	"context"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// OutcomeUnchanged is the neutral outcome of looks that found nothing to report. Types that use it declare it.
const OutcomeUnchanged = "unchanged"

// timerSpec is the properties of a timer watcher.
type timerSpec struct {
	// Timer is how long the timer runs.
	Timer strict.Duration `yaml:"timer,required" min:"1s"`
	// Splay makes it run for a random time below that, drawn at each start.
	Splay bool `yaml:"splay"`
}

// Timer is the watcher type that fires some time after a matching state was entered.
func Timer() Type {
	return Define(Type{
		WatcherType: machine.WatcherType{
			Name: "timer", Clock: true,
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeFail, Class: machine.Failure, Doc: "the time is up"},
				{Name: machine.OutcomeSuccess, Class: machine.Success,
					Doc: "the time is up, of a watcher that has a success_transition and no fail_transition"},
				{Name: OutcomeUnchanged, Class: machine.Neutral, Doc: "somebody asked, the time is not up yet"},
			},
		},
		Summary: "Fires some time after a matching state was entered.",
	}, prepareTimer)
}

func prepareTimer(spec *timerSpec, w *machine.WatcherSpec) *Prepared {
	outcome := machine.OutcomeFail
	if w.FailTransition == "" && w.SuccessTransition != "" {
		outcome = machine.OutcomeSuccess
	}
	return &Prepared{
		Waits:  true,
		New:    func() Watcher { return &timer{spec: spec, outcome: outcome} },
		Inline: true,
	}
}

// timer measures elapsed time, so that setting the wall clock neither shortens nor lengthens it.
type timer struct {
	spec    *timerSpec
	outcome string
	due     time.Duration // elapsed time at which it fires
	running bool
	up      bool // the time is up, but the look was left out: the next one fires
}

// Plan starts the timer on entry, and otherwise says how long it still runs.
func (t *timer) Plan(p Planning) Due {
	if p.Moment == Started || p.Moment == Entered {
		t.due, t.running, t.up = p.Elapsed+t.length(p), true, false
	}
	remaining := t.due - p.Elapsed
	switch {
	case !t.running:
		return Due{}
	case p.Moment == Looked && remaining <= 0:
		t.up = true
		return Due{}
	default:
		return Due{After: max(1, remaining)}
	}
}

// length returns how long the timer runs. After a restart that is what was left by the wall clock, never more
// than the whole.
func (t *timer) length(p Planning) time.Duration {
	length := t.spec.Timer.Std()
	if t.spec.Splay {
		length = p.Random(length)
	}
	if p.Resumed {
		return min(length, max(0, length-p.Now.Sub(p.Since)))
	}
	return length
}

// Check fires, unless it is a look that somebody else asked for.
func (t *timer) Check(_ context.Context, look *Look) Report {
	if !t.running || look.Moment == Poked && !t.up {
		return Report{Outcome: OutcomeUnchanged}
	}
	t.running = false
	return Report{Outcome: t.outcome, Message: "the timer of " + t.spec.Timer.String() + " is up"}
}

// Reset stops the timer.
func (t *timer) Reset() { t.running = false }
