package runtime

import (
	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// unstored is the report of a look that must not happen twice and does not happen, because its start could not be recorded.
func unstored() watchers.Report {
	return watchers.Report{Outcome: machine.OutcomeStarved, Message: "not started: the host's log is not durable at the moment"}
}

// cutShortBy is why a look that must not happen twice has come to nothing.
const cutShortBy = "was cut short by a restart of the host or a new manifest"

// cutShort reports whether an activation that begins with a record goes on with a visit in which a look that must not
// happen twice has been started and has no outcome: the host has ended since, or the manifest was replaced.
func (u *unit) cutShort(i int, r *machine.Record) bool {
	if u.snap.Running[u.prog.spec(i).Name] == 0 || !u.prog.guarded(i) {
		return false
	}
	return r.Kind == machine.RecordRecovery || r.Kind == machine.RecordUpgrade && r.From == r.To
}

// interrupted says that a look which must not happen twice was cut short.
func (u *unit) interrupted(i int) {
	spec := u.prog.spec(i)
	event := u.prog.def.EventFor(i, machine.OutcomeInterrupted)
	u.watches[i].last = &lastReport{outcome: machine.OutcomeInterrupted, at: u.wall, message: cutShortBy}
	u.host.log.Warn("look_interrupted", "machine", u.name, "watcher", spec.Name, "event", event)
	if event == "" && spec.OnInterrupt == machine.Ask {
		return
	}
	u.watches[i].started = u.elapsed
	u.plan(i, watchers.Looked)
	name, run, epoch := spec.Name, u.snap.Running[spec.Name], u.snap.Epoch
	u.later(func() {
		switch {
		case u.snap.Running[name] != run:
		case u.snap.Epoch == epoch:
			end := runEnd(name, run, event, machine.OutcomeInterrupted)
			end.Message = cutShortBy
			u.decide(end, nil)
		default:
			u.decide(runEnd(name, run, "", ""), nil)
		}
	})
}

// closeRun records, where a look that must not happen twice has lost its activation, that nothing is expected of it any more.
// A restart would else take it for interrupted in another visit.
func (u *unit) closeRun(i int) {
	name := u.prog.spec(i).Name
	run := u.snap.Running[name]
	if run == 0 {
		return
	}
	u.later(func() {
		if u.snap.Running[name] == run {
			u.decide(runEnd(name, run, "", ""), nil)
		}
	})
}

// later does something in the unit's turn when the present record is settled, unless the machine is gone by then.
func (u *unit) later(f func()) {
	_ = u.post(message{control: func() {
		if u.snap != nil && !u.removed {
			f()
		}
	}}, false, 0)
}

// runEnd is the event that ends a run; without a name it changes nothing else.
func runEnd(watcher string, run uint64, event, outcome string) machine.Event {
	return machine.Event{Name: event, Outcome: outcome, Cause: machine.Cause{Kind: machine.CauseWatcher, Name: watcher, Run: run}}
}
