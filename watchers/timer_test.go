package watchers

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/machine"
)

// timerHost drives a timer over a wall clock and elapsed time.
type timerHost struct {
	t       *timer
	now     time.Time
	since   time.Time
	elapsed time.Duration
	random  func(time.Duration) time.Duration
}

func newTimerHost(t *testing.T, properties string) *timerHost {
	t.Helper()
	prepared, list := Timer().Prepare(watcherOf(t, properties, true))
	if list.HasErrors() {
		t.Fatal(list)
	}
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	return &timerHost{
		t: prepared.New().(*timer), now: start, since: start, elapsed: time.Hour,
		random: func(below time.Duration) time.Duration { return below / 4 },
	}
}

func (h *timerHost) pass(d time.Duration) {
	h.now = h.now.Add(d)
	h.elapsed += d
}

func (h *timerHost) plan(m Moment, resumed bool) time.Duration {
	return h.t.Plan(Planning{Moment: m, Now: h.now, Elapsed: h.elapsed, Since: h.since, Resumed: resumed, Random: h.random}).After
}

func (h *timerHost) look(m Moment) string {
	return h.t.Check(context.Background(), &Look{Moment: m}).Outcome
}

func TestTimer(t *testing.T) {
	h := newTimerHost(t, "timer: 10m")
	steps := []struct {
		what string
		got  any
		want any
	}{
		{"entered", h.plan(Entered, false), 10 * time.Minute},
		{"up", h.look(Entered), machine.OutcomeFail},
		{"then never", h.plan(Looked, false), time.Duration(0)},
		{"not when poked", h.look(Poked), OutcomeUnchanged},
		{"entered again", h.plan(Entered, false), 10 * time.Minute},
	}
	for _, s := range steps {
		if diff := cmp.Diff(s.want, s.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.what, diff)
		}
	}
}

func TestTimerRestartsInAnotherState(t *testing.T) {
	h := newTimerHost(t, "timer: 10m")
	h.plan(Started, false)
	h.pass(9 * time.Minute)
	if got := h.plan(Entered, false); got != 10*time.Minute {
		t.Errorf("runs %s in the next state", got)
	}
	h.t.Reset()
	if got := h.plan(Looked, false); got != 0 || h.look(Interval) != OutcomeUnchanged {
		t.Errorf("runs %s after its states were left", got)
	}
}

func TestTimerSplay(t *testing.T) {
	h := newTimerHost(t, "timer: 10m\nsplay: true")
	if got := h.plan(Entered, false); got != 150*time.Second {
		t.Errorf("runs %s", got)
	}
	h.random = func(time.Duration) time.Duration { return 0 }
	if got := h.plan(Entered, false); got != 1 {
		t.Errorf("a draw of nothing runs %s, want at once", got)
	}
}

func TestTimerOutcome(t *testing.T) {
	for _, tt := range []struct{ success, fail, want string }{
		{"", "", "fail"}, {"a", "", "success"}, {"", "b", "fail"}, {"a", "b", "fail"},
	} {
		w := watcherOf(t, "timer: 1s", false)
		w.SuccessTransition, w.FailTransition = tt.success, tt.fail
		prepared, _ := Timer().Prepare(w)
		watcher := prepared.New().(*timer)
		watcher.Plan(Planning{Moment: Entered})
		if rep := watcher.Check(t.Context(), &Look{Moment: Entered}); rep.Outcome != tt.want || !strings.Contains(rep.Message, "1s") {
			t.Errorf("success %q, fail %q: %+v, want %s", tt.success, tt.fail, rep, tt.want)
		}
	}
}

func TestTimerLooksThatOthersAskFor(t *testing.T) {
	h := newTimerHost(t, "timer: 10m")
	h.plan(Entered, false)
	h.pass(4 * time.Minute)
	if got := h.look(Poked); got != OutcomeUnchanged {
		t.Errorf("poked early: %s", got)
	}
	if got := h.plan(Looked, false); got != 6*time.Minute {
		t.Errorf("goes on for %s after that", got)
	}
	h.pass(6 * time.Minute)
	if got := h.plan(Looked, false); got != 0 { // the look was left out
		t.Errorf("goes on for %s after its time", got)
	}
	if got := h.look(Poked); got != machine.OutcomeFail {
		t.Errorf("poked after its look was left out: %s", got)
	}
}

func TestA04TimerKeepsItsLength(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, -56 * 365 * 24 * time.Hour, 8 * time.Hour} {
		h := newTimerHost(t, "timer: 10m")
		h.plan(Entered, false)
		h.pass(4 * time.Minute)
		h.now = h.now.Add(jump)
		if got := h.plan(Jumped, false); got != 6*time.Minute {
			t.Errorf("after a jump of %s it goes on for %s", jump, got)
		}
	}
}

func TestTimerResumes(t *testing.T) {
	for _, tt := range []struct{ away, want time.Duration }{
		{4 * time.Minute, 6 * time.Minute}, {10 * time.Minute, 1}, {time.Hour, 1}, {0, 10 * time.Minute}, {-time.Hour, 10 * time.Minute},
	} {
		h := newTimerHost(t, "timer: 10m")
		h.now = h.now.Add(tt.away)
		if got := h.plan(Started, true); got != tt.want {
			t.Errorf("resumed after %s it runs %s, want %s", tt.away, got, tt.want)
		}
		if got := h.plan(Started, false); got != 10*time.Minute {
			t.Errorf("started anew it runs %s", got)
		}
	}
}

// TestTimerNeverLonger draws a life of pokes, jumps and restarts of the wall clock.
func TestTimerNeverLonger(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := newTimerHost(t, "timer: 10m")
		due := h.plan(Entered, false)
		ran := time.Duration(0)
		for range rapid.IntRange(0, 20).Draw(r, "steps") {
			if due <= 0 || ran+due > 10*time.Minute {
				r.Fatalf("after %s it goes on for %s", ran, due)
			}
			step := time.Duration(rapid.Int64Range(0, int64(due)-1).Draw(r, "step"))
			h.pass(step)
			ran += step
			if rapid.Bool().Draw(r, "jump") {
				h.now = h.now.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(r, "by")))
				due = h.plan(Jumped, false)
			} else {
				h.look(Poked)
				due = h.plan(Looked, false)
			}
			if ran+due != 10*time.Minute {
				r.Fatalf("after %s it goes on for %s", ran, due)
			}
		}
	})
}
