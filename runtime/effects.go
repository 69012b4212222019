package runtime

import (
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// effects ends and begins the activations that a record asks for. guarded is the watcher whose look
// an effect record announces, -1 for other records.
func (u *unit) effects(r *machine.Record, guarded int, stored bool) {
	switch r.Kind {
	case machine.RecordStart, machine.RecordRecovery, machine.RecordUpgrade:
		for i := range u.watches {
			if u.active(i) {
				u.begin(i, watchers.Started, r)
			} else {
				u.closeRun(i)
			}
		}
	case machine.RecordTransition:
		u.move(r)
	case machine.RecordEffect:
		if !stored {
			u.outcome(guarded, unstored(), r.Cause.Run)
			return
		}
		u.launch(guarded, watchers.Entered, r.Cause.Run)
	}
}

// move ends the activations of the state that was left, then begins or wakes those of the new one.
func (u *unit) move(r *machine.Record) {
	again := r.From == r.To
	for i := range u.watches {
		if u.watches[i].activation != 0 && (again || !u.active(i)) {
			u.end(i)
			u.closeRun(i)
		}
	}
	for i := range u.watches {
		switch w := &u.watches[i]; {
		case !u.active(i):
		case w.activation == 0:
			u.begin(i, watchers.Entered, r)
		default:
			w.tries = 0
			u.plan(i, watchers.Entered)
		}
	}
	u.keepIntervals(r)
}

// holdsInterval reports whether a watcher's interval holds across visits: where the manifest gives one, in our own format. With Choria a
// command runs on each entry.
func (u *unit) holdsInterval(i int) bool {
	return u.prog.spec(i).Interval > 0 && u.prog.def.Manifest.Strict()
}

// noteLook notes when the look began that has said in the present state how things are.
func (u *unit) noteLook(i int) {
	if !u.holdsInterval(i) {
		return
	}
	w := &u.watches[i]
	if w.looked == nil {
		w.looked = map[string]lookedAt{}
	}
	w.looked[u.snap.State] = lookedAt{w.started, w.basis}
}

// keepIntervals puts looks off that were made less than an interval ago in the state that a record enters: the machine has left it and come
// back. A look by other data is another look, an operator who enters a state wants to see, and so does a transition that says reenter.
func (u *unit) keepIntervals(r *machine.Record) {
	for i := range u.watches {
		w := &u.watches[i]
		last, looked := w.looked[u.snap.State]
		if !looked || w.due == 0 || last.changed != u.changed {
			continue
		}
		due := last.elapsed + u.prog.spec(i).Interval
		if due <= w.due {
			continue
		}
		if r.Cause.Kind == machine.CauseOperator || u.prog.def.Reenters(r) {
			return
		}
		w.due, w.at = due, time.Time{}
	}
}

// active reports whether a watcher belongs to the present state. A machine that has ended watches nothing.
func (u *unit) active(i int) bool {
	spec, _ := u.prog.def.State(u.snap.State)
	return spec.Final == "" && u.prog.def.Matches(i, u.snap.State)
}

// begin starts an activation.
func (u *unit) begin(i int, moment watchers.Moment, r *machine.Record) {
	w := &u.watches[i]
	if w.watcher == nil {
		w.watcher = u.prog.prepared[i].New()
	}
	w.activation, w.tries, w.again = u.snap.Epoch, 0, ""
	u.noteHolders()
	if every := u.prog.spec(i).AnnounceInterval; every > 0 {
		w.announce = u.elapsed + every
	}
	if u.cutShort(i, r) {
		u.interrupted(i)
		return
	}
	if _, listener := w.watcher.(watchers.Listener); listener {
		u.setDue(w, watchers.Due{After: minDue}, moment)
		return
	}
	p := u.planning(i, moment)
	p.Resumed = r.From == r.To && (r.Kind == machine.RecordUpgrade || r.Cause.Name == string(machine.Resume))
	u.setPlan(i, p)
}

// end ends an activation: what still runs for it is fenced, and cancelled where on_leave says so.
func (u *unit) end(i int) {
	w := &u.watches[i]
	w.activation, w.due, w.announce, w.again = 0, 0, 0, ""
	u.fed(i)
	u.noteHolders()
	if w.running != nil {
		w.running.fenced = true
		if w.running.listener || u.prog.onLeave(i) == machine.Cancel {
			w.running.stop()
		}
	}
	if r, ok := w.watcher.(watchers.Resetter); ok {
		u.ask(i, r.Reset)
	}
	u.unwatch(w)
}

// plan asks when the next look is due.
func (u *unit) plan(i int, moment watchers.Moment) {
	if _, listener := u.watches[i].watcher.(watchers.Listener); listener {
		return
	}
	u.setPlan(i, u.planning(i, moment))
}

func (u *unit) setPlan(i int, p watchers.Planning) {
	w := &u.watches[i]
	why := p.Moment
	if why == watchers.Looked || why == watchers.Jumped {
		why = watchers.Interval
	}
	if planner, ok := w.watcher.(watchers.Planner); ok {
		var due watchers.Due
		u.ask(i, func() { due = planner.Plan(p) })
		if splay := u.prog.spec(i).Splay; splay > 0 && due.After > 0 && p.Moment != watchers.Looked {
			due.After += p.Random(splay)
		}
		u.setDue(w, due, why)
		return
	}
	u.setDue(w, u.defaultPlan(i, p), why)
}

// defaultPlan looks on entry and then at intervals, counted from the start of the last look.
func (u *unit) defaultPlan(i int, p watchers.Planning) watchers.Due {
	if p.Moment != watchers.Looked {
		return watchers.Due{After: max(minDue, p.Random(u.prog.spec(i).Splay))}
	}
	if p.Interval <= 0 {
		return watchers.Due{}
	}
	return watchers.Due{After: max(minDue, u.watches[i].started+p.Interval-u.elapsed)}
}

func (u *unit) planning(i int, moment watchers.Moment) watchers.Planning {
	return watchers.Planning{
		Moment:   moment,
		Now:      u.wall,
		Elapsed:  u.elapsed,
		Interval: u.prog.interval(i),
		Strict:   u.prog.def.Manifest.Strict(),
		Since:    u.snap.Entered,
		Random:   u.host.cfg.Random,
	}
}

// pokeDelay lets a burst of changes of one path become one look.
const pokeDelay = 20 * time.Millisecond

// poke brings the next look of a watcher forward.
func (u *unit) poke(w *watch) {
	w.poked.Store(false)
	for i := range u.watches {
		if &u.watches[i] != w || w.activation == 0 {
			continue
		}
		if due := u.elapsed + pokeDelay; w.due == 0 || w.due > due {
			u.setDue(w, watchers.Due{After: pokeDelay}, watchers.Poked)
		}
	}
}

// foreignChanged wakes the watchers that require a state of another machine.
func (u *unit) foreignChanged(name string) {
	for i := range u.watches {
		w := &u.watches[i]
		for _, f := range u.prog.spec(i).ForeignStateRequired {
			if u.who.scope+f.Machine != name || w.activation == 0 {
				continue
			}
			if w.running != nil && w.running.listener && !u.foreignHolds(i) {
				w.running.stop()
			} else if u.foreignHolds(i) && w.running == nil {
				u.setDue(w, watchers.Due{After: minDue}, watchers.Poked)
			}
		}
	}
}

// foreignHolds reports whether every required state of other machines holds.
func (u *unit) foreignHolds(i int) bool {
	for _, f := range u.prog.spec(i).ForeignStateRequired {
		if state, ok := u.host.stateOf(u.who.scope + f.Machine); !ok || state != f.State {
			return false
		}
		if other, ok := u.host.unit(u.who.scope + f.Machine); ok && !other.holding(nil) {
			return false
		}
	}
	return true
}
