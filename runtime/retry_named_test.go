package runtime_test

import (
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestRetryLeavesNamedOutcomesAlone holds that a failure with an event of its own is an answer.
func TestRetryLeavesNamedOutcomesAlone(t *testing.T) {
	c := newFakes()
	c.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return checker(nil) }},
		machine.Outcome{Name: "refused", Class: machine.Failure, Doc: "an answer"})
	s := simulate(t, c, watchingWith("retry: {max: 3, backoff: 1s..3s}, on: {refused: leave}"))
	s.complete("probe", watchers.Report{Outcome: "refused"})
	s.wantState("watching", "b")
}
