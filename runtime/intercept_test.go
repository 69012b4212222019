package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

// looking are the machines whose watcher probe was given to the test and not completed.
func (s *simulation) looking() (names []string) {
	for _, p := range s.looks["probe"] {
		names = append(names, p.Machine())
	}
	return names
}

// several are machines of which each looks once, with further keys of the watcher.
func several(n int, keys string) (all []string) {
	for i := range n {
		all = append(all, strings.Replace(watchingWith(keys), "name: watching", fmt.Sprintf("name: m%d", i), 1))
	}
	return all
}

// TestALookIsTimedOutInVirtualTime has a look that does not return: its time-out is told in its place after the grace, what it says later
// counts for nothing, and only then it looks again.
func TestALookIsTimedOutInVirtualTime(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("timeout: 5s, on: {timeout: touch}, interval: 10s"))
	s.Advance(5*time.Second - 1)
	look := s.looks["probe"][0]
	if look.TimeUp() || look.View().Deadline != start.Add(5*time.Second) {
		t.Fatalf("its time is up: %t before its deadline %s", look.TimeUp(), look.View().Deadline)
	}
	s.Advance(1)
	if !look.TimeUp() {
		t.Fatal("its time is not up at its deadline")
	}
	s.Advance(time.Second)
	if last := s.records[len(s.records)-1]; last.Event != "touch" || last.Outcome != machine.OutcomeTimeout {
		t.Fatalf("the last record is %+v", last)
	}
	s.Advance(time.Minute)
	if got := len(s.looks["probe"]); got != 1 {
		t.Fatalf("%d looks while one hangs", got)
	}
	records := len(s.records)
	s.complete("probe", watchers.Failure("at last"))
	s.Advance(time.Second)
	if got := s.looking(); len(got) != 1 || len(s.records) != records {
		t.Errorf("it looks %d times after the one that hung, with %d records more", len(got), len(s.records)-records)
	}
}

// TestAFailureAfterTheTimeIsATimeOut completes a look between its deadline and the grace.
func TestAFailureAfterTheTimeIsATimeOut(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := simulate(t, newFakes(), watchingWith("timeout: 5s, on: {timeout: gave_up}"))
		s.Advance(5*time.Second - 1)
		want := "bad"
		if late {
			s.Advance(1)
			want = "gave_up"
		}
		s.complete("probe", watchers.Failure("no answer"))
		if last := s.records[len(s.records)-1]; last.Event != want {
			t.Errorf("late %t: %s, want %s", late, last.Event, want)
		}
	}
}

// TestALookThatHangsUsesUpItsTries: there is no second look beside it, so that each try that was due counts as one that timed out.
func TestALookThatHangsUsesUpItsTries(t *testing.T) {
	s := simulate(t, newFakes(), watchingWith("timeout: 5s, retry: {max: 3, backoff: 1s, then: gave_up}"))
	s.Advance(20 * time.Second)
	s.wantState("watching", "a")
	s.Advance(time.Second)
	s.wantState("watching", "b")
	if last := s.records[len(s.records)-1]; last.Event != "gave_up" || last.Outcome != machine.OutcomeTimeout {
		t.Errorf("the last record is %+v", last)
	}
}

// TestALookIsCompletedWhenItIsGiven has one that comes to its end before Intercept returns.
func TestALookIsCompletedWhenItIsGiven(t *testing.T) {
	cfg := runtime.Config{Catalogue: newFakes(), MaxLooks: 1, Intercept: func(p *runtime.PendingLook) { p.Complete(watchers.Success()) }}
	s := simulateWith(t, cfg, several(3, "interval: 10s, governor: disk")...)
	s.Advance(25 * time.Second)
	looked := map[string]int{}
	for _, r := range s.records {
		if r.Event == "good" {
			looked[r.Machine]++
		}
	}
	if looked["m0"] < 3 || looked["m1"] < 3 || looked["m2"] < 3 {
		t.Errorf("they have looked %v times", looked)
	}
}

// TestGovernorsAdmitInVirtualTime has three machines of which two look at once, and the third fails where it waits too long.
func TestGovernorsAdmitInVirtualTime(t *testing.T) {
	cfg := runtime.Config{Catalogue: newFakes(), Governors: map[string]int{"disk": 2}}
	s := simulateWith(t, cfg, several(3, "governor: disk, governor_timeout: 30s, timeout: 1h")...)
	waiting := func() string {
		for _, name := range []string{"m0", "m1", "m2"} {
			if !slices.Contains(s.looking(), name) {
				return name
			}
		}
		return ""
	}
	if got := s.looking(); len(got) != 2 {
		t.Fatalf("%q look at once", got)
	}
	third := waiting()
	s.Advance(10 * time.Second)
	s.complete("probe", watchers.Report{}) // which says nothing
	if got := s.looking(); !slices.Contains(got, third) {
		t.Fatalf("%q look, and not %s, which has waited longest", got, third)
	}

	s = simulateWith(t, cfg, several(3, "governor: disk, governor_timeout: 30s, timeout: 1h")...)
	third = waiting()
	s.Advance(30 * time.Second)
	s.wantState(third, "b")
	if got := s.looking(); slices.Contains(got, third) {
		t.Errorf("%q look after the third has given up", got)
	}
}

// TestWhoLeavesItsStateLeavesTheGovernorsQueue fires an event of one that waits: its place goes to the next.
func TestWhoLeavesItsStateLeavesTheGovernorsQueue(t *testing.T) {
	s := simulate(t, newFakes(), several(3, "governor: disk, governor_timeout: 1h, timeout: 1h, on_leave: cancel")...)
	first := s.looking()[0]
	var others []string
	for _, name := range []string{"m0", "m1", "m2"} {
		if name != first {
			others = append(others, name)
		}
	}
	s.fire(others[0], "leave")
	s.complete("probe", watchers.Report{})
	if got := s.looking(); !slices.Equal(got, others[1:]) {
		t.Errorf("%q look, want %q", got, others[1:])
	}
	s.complete("probe", watchers.Report{})
	s.fire(others[0], "enter")
	if got := s.looking(); !slices.Equal(got, others[:1]) {
		t.Errorf("%q look after it came back, want %q", got, others[:1])
	}
}

// TestLooksAtOnceAreBoundedInVirtualTime has two places for five looks, and a restart that frees them.
func TestLooksAtOnceAreBoundedInVirtualTime(t *testing.T) {
	s := simulateWith(t, runtime.Config{Catalogue: newFakes(), MaxLooks: 2}, several(5, "timeout: 1h")...)
	seen := map[string]bool{}
	for range 4 {
		got := s.looking()
		if len(got) != 2 {
			t.Fatalf("%q look at once", got)
		}
		seen[got[0]] = true
		s.complete("probe", watchers.Report{})
	}
	if got := s.looking(); len(got) != 1 || len(seen) != 4 || seen[got[0]] {
		t.Fatalf("%q looks last, after %v", got, seen)
	}
	before := s.looks["probe"]
	s.looks["probe"] = nil
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range before {
		if !p.Cancelled() {
			t.Error("a look goes on after the restart")
		}
		p.Complete(watchers.Failure("cancelled"))
	}
	s.Settle()
	if got := s.looking(); len(got) != 2 {
		t.Errorf("%q look at once after a restart", got)
	}
}
