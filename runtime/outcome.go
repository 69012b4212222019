package runtime

import (
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// outcome takes the outcome of a look whose activation lasts: plans the next look, then lets the machine
// decide the event that the outcome fires.
func (u *unit) outcome(i int, rep watchers.Report, run uint64) {
	w, spec := &u.watches[i], u.prog.spec(i)
	u.host.metrics.looks.WithLabelValues(u.prog.def.Manifest.Name, spec.Name, rep.Outcome).Inc()
	if u.secretive {
		u.conceal(&rep, spec.Name)
	}
	rep.Message = machine.OneLine(rep.Message)
	news := rep.State != nil && !rep.Quiet && !u.repeats(i, rep.Outcome)
	w.last = &lastReport{outcome: rep.Outcome, message: rep.Message, at: u.wall, took: u.elapsed - w.started, state: rep.State}
	if rep.Facts != nil {
		u.host.setFacts(rep.Facts, u.name, spec.Name)
	}
	if news {
		u.host.announceWatcher(u, i)
	}
	u.watchPaths(i)
	failed, starved := u.failed(i, rep.Outcome), rep.Outcome == machine.OutcomeStarved
	if (failed || starved || rep.Outcome == watchers.OutcomeError) && rep.Message != "" {
		u.complain(i, &rep)
	}
	if !starved {
		u.fed(i)
	}
	event := u.prog.def.EventFor(i, rep.Outcome)
	_, named := spec.On[rep.Outcome]
	switch again := failed && !named && spec.Retry != nil; { // an outcome with an event of its own is an answer, not a failure to get one
	case starved:
		u.starved(i, rep.Message)
	case again && u.retry(i):
		event = ""
	case again && spec.Retry.Then != "":
		event = spec.Retry.Then
		fallthrough
	default:
		w.tries = 0
		u.noteLook(i)
		u.plan(i, watchers.Looked)
	}
	if event == "" && run == 0 && u.prog.def.Holds(u.snap, rep.Data) {
		return
	}
	u.decide(machine.Event{
		Name: event, Outcome: rep.Outcome, Message: rep.Message, Payload: rep.Payload, Data: rep.Data,
		Cause: machine.Cause{Kind: machine.CauseWatcher, Name: spec.Name, Run: run},
	}, nil)
}

// failed reports whether an outcome of a watcher is a failure.
func (u *unit) failed(i int, outcome string) bool {
	return u.prog.classes[i][outcome] == machine.Failure
}

// repeats reports whether a look has come to what the one before had come to: another success or the same failure, which is no
// news. Choria publishes each of them, and so do manifests without a format. What is "changed" again has changed again.
func (u *unit) repeats(i int, outcome string) bool {
	w := &u.watches[i]
	_, listens := w.watcher.(watchers.Listener)
	if !u.prog.def.Manifest.Strict() || listens || w.last == nil || w.last.outcome != outcome {
		return false
	}
	return outcome == machine.OutcomeSuccess || outcome == machine.OutcomeStarved || u.failed(i, outcome)
}

// retry arranges another try of a failed look; false when the tries are used up. A look that hangs is waited for as long as a try may take.
func (u *unit) retry(i int) bool {
	w, r := &u.watches[i], u.prog.spec(i).Retry
	if w.tries >= r.Max {
		return false
	}
	pause := r.From << min(w.tries, 30)
	if r.To > 0 && (pause > r.To || pause < r.From) {
		pause = r.To
	}
	if w.hangs() {
		pause = max(pause, w.running.timeout)
	}
	w.tries++
	u.setDue(w, watchers.Due{After: max(minDue, pause)}, watchers.Interval)
	return true
}

// announceAgain publishes a watcher's last state at its announce interval.
func (u *unit) announceAgain(i int) {
	w := &u.watches[i]
	w.announce = u.elapsed + max(time.Second, u.prog.spec(i).AnnounceInterval)
	if w.last != nil && w.last.state != nil {
		u.host.announceWatcher(u, i)
	}
}

// watchPaths tells the notifier which paths the watcher wants to hear of.
func (u *unit) watchPaths(i int) {
	w := &u.watches[i]
	p, ok := w.watcher.(watchers.PathWatcher)
	if !ok || u.host.notifier == nil || w.running != nil { // its methods are called one at a time
		return
	}
	view := u.newLook(i, watchers.Looked, 0).view
	var paths []string
	u.ask(i, func() { paths = p.Paths(&view) })
	if slices.Equal(paths, w.paths) {
		return
	}
	u.unwatch(w)
	for _, path := range paths {
		if err := u.host.notifier.add(path, u, w); err != nil {
			u.host.log.Debug("path_not_watched", "machine", u.name, "path", path, "error", err)
			continue
		}
		w.paths = append(w.paths, path)
	}
}

// unwatch forgets the paths of a watcher.
func (u *unit) unwatch(w *watch) {
	for _, path := range w.paths {
		u.host.notifier.remove(path, w)
	}
	w.paths = nil
}
