package runtime

import (
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// deadline is one that has not fired.
type deadline struct {
	index int            // of the state's, where it is no group's
	group *machine.Group // nil where it is the state's
	after *machine.Deadline
	due   time.Duration
}

// deadline returns the first deadline of the present visit, and of the groups that the state is in, that has not fired. Of those that are due at
// one time the state's comes first, then those of the groups in the manifest's order.
func (u *unit) deadline() (first deadline, ok bool) {
	def := u.prog.def
	spec, _ := def.State(u.snap.State)
	for i := range spec.After {
		if u.snap.Fired&(1<<i) == 0 {
			first, ok = deadline{index: i, after: &spec.After[i], due: max(minDue, u.since+spec.After[i].After)}, true
			break
		}
	}
	for _, g := range def.TimedGroups(u.snap.State) {
		visit, within := u.snap.Groups[g.Name]
		next, left := g.Next(visit)
		if !within || !left {
			continue
		}
		if due := max(minDue, u.within[g.Name]+next.After); !ok || due < first.due {
			first, ok = deadline{group: g, after: next, due: due}, true
		}
	}
	return first, ok
}

// event is what a deadline fires.
func (d *deadline) event(u *unit) machine.Event {
	if d.group != nil {
		return d.group.DeadlineEvent(d.after)
	}
	return u.prog.def.DeadlineEvent(u.snap.State, d.index)
}

// enterGroups notes since when the machine is in the groups of its snapshot, as of the turn's time. Those in which it was before go on.
func (u *unit) enterGroups(before *machine.Snapshot, wall time.Time, elapsed time.Duration) {
	if len(u.snap.Groups) == 0 {
		u.within = nil
		return
	}
	within := make(map[string]time.Duration, len(u.snap.Groups))
	for name, visit := range u.snap.Groups {
		since, known := u.within[name]
		if !known || before == nil || !before.Groups[name].Entered.Equal(visit.Entered) {
			since = elapsed - max(0, wall.Sub(visit.Entered))
		}
		within[name] = since
	}
	u.within = within
}
