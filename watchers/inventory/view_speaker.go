package inventory

import (
	"fmt"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// speaker says what becomes of a view.
type speaker struct {
	emit  func(watchers.Report)
	sheet *sheet
	desk  *desk

	failing   bool
	failures  int // since it listened
	overLimit bool
	told      int // inventories that were left out, at the last report
	sinceSaid int // reports
}

// The pauses before another try.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// pause is how long to wait after a failure.
func (s *speaker) pause() time.Duration {
	s.failures++
	return min(firstPause<<min(s.failures-1, 10), lastPause)
}

// state is the view's part of its state event.
func (s *speaker) state() map[string]any {
	state := s.sheet.counts()
	state["questions"], state["refused"] = int(s.desk.questions.Load()), int(s.desk.refused.Load())
	state["unreadable"] = s.sheet.unreadable()
	return state
}

// failed says once that it does not go on; a stream may not be there yet.
func (s *speaker) failed(why string) {
	if !s.failing {
		s.failing = true
		s.emit(watchers.Report{Outcome: machine.OutcomeFail, Message: why, State: s.state()})
	}
}

// listens says that all is read.
func (s *speaker) listens() {
	s.failing, s.failures = false, 0
	counts := s.sheet.counts()
	s.emit(watchers.Report{
		Outcome: machine.OutcomeSuccess, Message: fmt.Sprintf("the inventories of %d nodes are read", counts["nodes"]), Payload: counts, State: s.state(),
	})
	s.report()
}

// reportsAMinute is how many reports are in a minute.
const reportsAMinute = int(time.Minute / viewEvery)

// report says what is left out for lack of room, and when that has ended; and the counts once a minute.
func (s *speaker) report() {
	n := s.sheet.missing()
	rep := watchers.Report{Payload: s.sheet.counts(), State: s.state()}
	switch more := n > s.told; {
	case more:
		rep.Outcome = outcomeOverLimit
		rep.Message = fmt.Sprintf("the inventories of %d nodes are left out: the memory of %d MiB is full; give the view more", n, s.desk.spec.Memory)
	case n == 0 && s.overLimit:
		rep.Outcome, rep.Quiet = outcomeWithinLimit, true
	case s.sinceSaid >= reportsAMinute:
		rep.Outcome, rep.Quiet, rep.Payload = watchers.OutcomeUnchanged, true, nil
	default:
		s.sinceSaid++
		return
	}
	s.told, s.overLimit, s.sinceSaid = n, n > 0, 0
	s.emit(rep)
}
