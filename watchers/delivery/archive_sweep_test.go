package delivery

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// sweeping is a watcher of a bundle that is deployed, and has looked since.
func sweeping(t testing.TB, turns *sweepTurns) (*archiveTest, *archive, string) {
	t.Helper()
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	w := a.web(b, sends(b.Data))
	w.sweep.turns = turns
	dir := a.check(w, watchers.Started, outcomeDeployed).Payload["directory"].(string)
	return a, w, dir
}

// due is what a watcher plans after a look that has ended at a time.
func due(w *archive, at time.Duration) time.Duration {
	return w.Plan(watchers.Planning{Moment: watchers.Looked, Elapsed: at, Interval: 5 * time.Minute}).After
}

// TestC21SweepsFindWhatNobodyNotices writes a file by another name of it, which changes nothing in the folders that are watched. Without sweeps that stays
// until the interval has passed.
func TestC21SweepsFindWhatNobodyNotices(t *testing.T) {
	for name, turns := range map[string]*sweepTurns{"sweeps": {}, "no sweeps": nil} {
		t.Run(name, func(t *testing.T) {
			a, w, dir := sweeping(t, turns)
			other := filepath.Join(a.outside, "other")
			if err := os.Link(filepath.Join(dir, "check.sh"), other); err != nil {
				t.Fatal(err)
			}
			now := time.Minute
			if turns == nil {
				if got := due(w, now); got != 5*time.Minute {
					t.Errorf("the next look is due in %s", got)
				}
				return
			}
			for range 3 { // of which each sets the next
				if got := due(w, now); got != sweepEvery {
					t.Fatalf("the next look is due in %s", got)
				}
				now += sweepEvery
				if r := a.check(w, watchers.Interval, ""); r.Message != "" || r.State != nil {
					t.Errorf("a sweep reports %+v", r)
				}
			}
			if err := os.WriteFile(other, []byte("evil"), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := due(w, now); got != sweepEvery {
				t.Fatalf("the next look is due in %s", got)
			}
			a.check(w, watchers.Interval, outcomeTampered)
			if got := due(w, now); got != 1 {
				t.Errorf("the next look is due in %s", got)
			}
			a.check(w, watchers.Interval, outcomeDeployed)
		})
	}
}

// TestC21SweepsFindEveryDamage does at rest what TestC21PayloadsAreDeployedAnew does, and tells nobody.
func TestC21SweepsFindEveryDamage(t *testing.T) {
	for name, damage := range archiveDamages() {
		t.Run(name, func(t *testing.T) {
			a, w, dir := sweeping(t, &sweepTurns{})
			due(w, time.Minute)
			a.check(w, watchers.Interval, "")
			if err := damage(a.slots.Target, dir); err != nil {
				t.Fatal(err)
			}
			due(w, 2*time.Minute)
			a.check(w, watchers.Interval, outcomeTampered)
		})
	}
}

// TestSweepsBetweenLooks holds that looks at the interval are reported as ever, and that one is no sweep where somebody asked for it.
func TestSweepsBetweenLooks(t *testing.T) {
	a, w, _ := sweeping(t, &sweepTurns{})
	now, sweeps, looks := time.Duration(0), 0, 0
	for looks < 2 {
		now += due(w, now)
		if a.outcome(w, watchers.Interval) == "" {
			sweeps++
			continue
		}
		looks++
		if want := time.Duration(looks) * 5 * time.Minute; now != want {
			t.Errorf("look %d is at %s, want %s", looks, now, want)
		}
	}
	if want := 2 * (5*60 - 1); sweeps != want {
		t.Errorf("%d sweeps, want %d", sweeps, want)
	}
	for _, moment := range []watchers.Moment{watchers.Poked, watchers.Entered, watchers.Started} {
		due(w, now)
		a.check(w, moment, watchers.OutcomeUnchanged)
	}
	due(w, now)
	if got := due(w, now); got != 5*time.Minute { // the look was left out
		t.Errorf("after a look that did not happen the next is due in %s", got)
	}
}

// outcome looks, and returns the outcome.
func (a *archiveTest) outcome(w *archive, moment watchers.Moment) string {
	a.t.Helper()
	return w.Check(a.t.Context(), a.look(moment)).Outcome
}

// TestSweepsOfManyTakeTurns holds the cost of all sweeps of a process within its bound.
func TestSweepsOfManyTakeTurns(t *testing.T) {
	turns, last := &sweepTurns{}, time.Duration(0)
	for i := range 1000 {
		turn := turns.take(time.Minute)
		if first := time.Minute + sweepEvery; i == 0 && turn != first || i > 0 && turn != last+sweepPause {
			t.Fatalf("turn %d is at %s after %s", i, turn, last)
		}
		last = turn
	}
	if got := turns.take(time.Hour); got != time.Hour+sweepEvery {
		t.Errorf("after a rest the turn is at %s", got)
	}
}

// TestSweepsAreNotNoted leaves out what would cost more than its time.
func TestSweepsAreNotNoted(t *testing.T) {
	turns := &sweepTurns{}
	for _, tt := range []struct {
		governor  string
		interrupt machine.OnInterrupt
		sweeps    bool
	}{{"", "", true}, {"", machine.Rerun, true}, {"g", "", false}, {"", machine.Fail, false}, {"", machine.Ask, false}} {
		got := sweepable(&archiveSpec{Governor: tt.governor}, &machine.WatcherSpec{OnInterrupt: tt.interrupt}, turns)
		if (got == turns) != tt.sweeps {
			t.Errorf("%+v: sweeps %t", tt, got != nil)
		}
	}
}

func BenchmarkSweep(b *testing.B) {
	a, w, _ := sweeping(b, &sweepTurns{})
	look := a.look(watchers.Interval)
	for began := time.Now(); time.Since(began) < 3*time.Second; { // until the files' times say that nothing was written since
		if !w.undisturbed(b.Context()) {
			b.Fatal("it is not as it was")
		}
	}
	for b.Loop() {
		due(w, time.Minute)
		if r := w.Check(b.Context(), look); r.Outcome != "" {
			b.Fatal(r.Outcome)
		}
	}
}
