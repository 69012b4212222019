package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// look is one run of a Checker, or the activation of a Listener.
type look struct {
	unit       *unit
	name       string // of the watcher
	activation uint64
	run        uint64 // of a guarded look, 0 otherwise
	listener   bool
	scratch    bool         // it wants its scratch folder
	intact     func() error // asked before the watcher; nil asks nothing
	watcher    watchers.Watcher
	view       watchers.Look
	timeout    time.Duration
	governor   string
	wait       time.Duration // for the governor
	ctx        context.Context
	cancel     context.CancelFunc
	release    func()                          // gives the governor's slot back, nil while there is none
	leave      func()                          // gives up waiting for the governor; belongs to the turn, nil where none was asked
	fenced     bool                            // its activation has ended; belongs to the turn
	spoken     atomic.Bool                     // an outcome was reported: by the look or, in its place, by the watchdog
	panic      atomic.Pointer[watchers.Report] // what a panic has come to; nil for none
}

// graceAfterTimeout is how long a look may take to return once its time is up, before the runtime reports
// the time-out in its place.
const graceAfterTimeout = 250 * time.Millisecond

// listenerBackoff is the pause before a listener that returned early is started again.
const listenerBackoff = 5 * time.Second

// look starts a look of an active watcher, unless something stands against it.
func (u *unit) look(i int, why watchers.Moment) {
	w := &u.watches[i]
	if w.activation == 0 {
		return
	}
	if w.running != nil {
		if w.tries > 0 && w.hangs() { // a try that cannot be made, as nothing looks beside a look
			u.outcome(i, watchers.Report{Outcome: machine.OutcomeTimeout, Message: "the look before has not returned"}, 0)
			return
		}
		w.again = why
		return
	}
	if reason := u.against(i); reason != "" {
		u.skip(i, reason)
		return
	}
	if !u.prog.guarded(i) {
		u.launch(i, why, 0)
		return
	}
	if u.journaled() && !u.host.store.Status().Durable {
		u.outcome(i, unstored(), 0)
		return
	}
	u.record(u.prog.def.Effect(u.snap, u.prog.spec(i).Name, u.wall), nil)
	u.pending.run = i + 1
}

// against says why a look must not happen now, "" if it may.
func (u *unit) against(i int) string {
	if !u.foreignHolds(i) {
		return "another machine is not in the required state"
	}
	if !u.holding(u.watches[i].watcher) {
		return "what the machine held has run out while the host stood still"
	}
	ok, err := u.prog.def.When(i, u.snap, u.wall)
	switch {
	case err != nil:
		return "when: " + err.Error()
	case u.prog.guarded(i) && u.snap.Running[u.prog.spec(i).Name] != 0:
		return "the look before was cut short, and nobody has said how it ended"
	case !ok:
		return "its `when` does not hold"
	}
	return ""
}

// skip leaves out a look and plans the next one.
func (u *unit) skip(i int, reason string) {
	w := &u.watches[i]
	w.started = u.elapsed
	if w.last == nil {
		w.last = &lastReport{}
	}
	w.last.skipped = reason
	u.host.metrics.looks.WithLabelValues(u.prog.def.Manifest.Name, u.prog.spec(i).Name, "skipped").Inc()
	u.plan(i, watchers.Looked)
}

// launch runs a look: in the turn where it cannot block, on a goroutine of its own otherwise.
func (u *unit) launch(i int, why watchers.Moment, run uint64) {
	w := &u.watches[i]
	if w.activation == 0 || w.running != nil {
		return
	}
	l := u.newLook(i, why, run)
	w.started = u.elapsed
	w.basis = u.changed
	u.host.hook(HookEffect)
	if u.prog.prepared[i].Inline {
		u.outcome(i, l.check(l.ctx), run)
		return
	}
	l.ctx, l.cancel = context.WithCancel(u.host.looks.ctx)
	w.running = l
	u.host.looks.start(l)
}

func (u *unit) newLook(i int, why watchers.Moment, run uint64) *look {
	w, spec := &u.watches[i], u.prog.spec(i)
	m := u.prog.def.Manifest
	l := &look{
		unit: u, name: spec.Name, activation: w.activation, run: run, watcher: w.watcher,
		timeout: u.prog.timeout(i), ctx: u.host.looks.ctx,
		view: watchers.Look{
			Moment: why, Machine: m.Name, Version: m.Version, Watcher: spec.Name, State: u.snap.State,
			Identity: u.who.identity, Instance: u.who.instance, Directory: u.prog.directory, Scratch: u.host.scratch(u.name),
			At: u.wall, Data: u.snap.Data, Input: u.snap.Input, Facts: u.host.facts.Load(), Strict: m.Strict(), Log: u.host.log, Secrets: u.prog.secrets,
		},
	}
	l.governor, l.wait = u.prog.governor(i)
	l.scratch = u.prog.prepared[i].Scratch
	if !u.prog.prepared[i].Inline { // what takes microseconds reads no files
		l.intact = u.prog.intact
	}
	if _, l.listener = w.watcher.(watchers.Listener); l.listener {
		l.view.Live = u.live
	}
	return l
}

// live is the machine's state and data, for who does not run in its turn.
func (u *unit) live() (state string, data map[string]any) {
	p := u.published.Load()
	return p.snap.State, p.snap.Data
}

// check calls the watcher, where the payload is as it should be. A panic becomes an outcome, wherever it was: in the watcher or in what it
// has started.
func (l *look) check(ctx context.Context) (rep watchers.Report) {
	ctx = supervise.With(ctx, l.panicked)
	defer func() {
		if p := recover(); p != nil {
			l.panicked(p, string(debug.Stack()))
		}
		if p := l.panic.Load(); p != nil {
			rep = *p
		}
	}()
	if l.intact != nil {
		if err := l.intact(); err != nil {
			return watchers.Failed(err)
		}
	}
	switch w := l.watcher.(type) {
	case watchers.Listener:
		return w.Listen(ctx, &l.view, func(r watchers.Report) { l.report(r, false) })
	case watchers.Checker:
		return w.Check(ctx, &l.view)
	}
	return watchers.Failure("the watcher can neither check nor listen")
}

// do is the goroutine of a look.
func (l *look) do() {
	defer l.cancel()
	if l.release != nil {
		defer l.release()
	}
	if l.scratch {
		if err := os.MkdirAll(l.view.Scratch, 0o700); err != nil {
			l.report(watchers.Failed(fmt.Errorf("making the scratch folder: %w", err)), true)
			return
		}
	}
	if l.listener {
		l.listen()
		return
	}
	if l.ctx.Err() != nil { // while it waited for its turn
		l.report(watchers.Failure("cancelled before it began"), true)
		return
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.timeout)
	defer cancel()
	l.view.Deadline, _ = ctx.Deadline()
	calledOff := l.unit.host.after(l.timeout+graceAfterTimeout, l.giveUp)
	rep := l.check(ctx)
	calledOff()
	l.finish(rep, errors.Is(ctx.Err(), context.DeadlineExceeded))
}

// finish hands over what a look has come to. A failure of one whose time was up is a time-out.
func (l *look) finish(rep watchers.Report, timeUp bool) {
	if rep.Outcome == machine.OutcomeFail && timeUp {
		rep.Outcome = machine.OutcomeTimeout
	}
	l.unit.host.hook(HookOutcome)
	l.report(rep, true)
}

// stop cancels a look that runs, and one that waits for its governor leaves the queue.
func (l *look) stop() {
	l.cancel()
	if l.leave != nil {
		l.leave()
	}
}

// listen is the goroutine of a listener. What it returns when the runtime has ended it is no outcome.
func (l *look) listen() {
	rep := l.check(l.ctx)
	if l.ctx.Err() != nil && rep.Outcome != machine.OutcomePanic {
		rep = watchers.Report{}
	}
	l.report(rep, true)
}

// giveUp speaks for a look that does not return: its time-out counts now, its end later.
func (l *look) giveUp() {
	if l.spoken.CompareAndSwap(false, true) {
		l.unit.host.metrics.abandoned.Inc()
		l.view.Log.Error("look_hangs", "machine", l.unit.name, "watcher", l.name, "timeout", l.timeout)
		rep := watchers.Report{Outcome: machine.OutcomeTimeout, Message: "the watcher did not return after its time-out"}
		_ = l.unit.post(message{report: &lookReport{look: l, report: rep}}, false, 0)
	}
}

// report hands a report to the unit. After giveUp only the end counts.
func (l *look) report(rep watchers.Report, ended bool) {
	late := !l.listener && !l.spoken.CompareAndSwap(false, true)
	limit := 0
	if l.listener && !ended {
		limit = l.unit.host.cfg.InboxSize
	}
	if err := l.unit.post(message{report: &lookReport{look: l, report: rep, ended: ended, late: late}}, false, limit); err != nil {
		l.view.Log.Warn("report_dropped", "machine", l.unit.name, "watcher", l.name, "error", err)
	}
}

// takeReport takes what a look said, if its activation still lasts.
func (u *unit) takeReport(r *lookReport) {
	i := u.watchOf(r.look)
	if r.ended {
		u.forget(r.look)
	}
	if i < 0 || r.look.fenced || u.watches[i].activation != r.look.activation {
		u.host.metrics.stale.WithLabelValues(u.prog.def.Manifest.Name, r.look.name).Inc()
		u.host.log.Debug("stale_outcome", "machine", u.name, "watcher", r.look.name, "outcome", r.report.Outcome)
		if i >= 0 {
			u.lookAgain(i)
		}
		return
	}
	if r.late {
		u.watchPaths(i)
		u.lookAgain(i)
		return
	}
	if u.host.looks.ctx.Err() != nil && u.failed(i, r.report.Outcome) {
		return // the host is stopping and has cancelled the look, which says nothing of the world
	}
	if r.report.Outcome != "" || r.look.run != 0 {
		u.outcome(i, r.report, r.look.run)
	} else {
		u.plan(i, watchers.Looked)
	}
	if h, ok := r.look.watcher.(watchers.Holder); ok {
		h.Told(r.report.Outcome)
	}
	u.lookAgain(i)
	if r.look.listener && r.ended {
		u.setDue(&u.watches[i], watchers.Due{After: listenerBackoff}, watchers.Started)
	}
}

// lookAgain makes good for a look that was asked for while another was running.
func (u *unit) lookAgain(i int) {
	w := &u.watches[i]
	if w.running != nil || w.again == "" {
		return
	}
	u.setDue(w, watchers.Due{After: minDue}, w.again)
	w.again = ""
}

// watchOf returns the watcher that a look belongs to, -1 when a reload has taken it away.
func (u *unit) watchOf(l *look) int {
	for i := range u.watches {
		if u.watches[i].running == l {
			return i
		}
	}
	return -1
}

// forget notes that a look has returned.
func (u *unit) forget(l *look) {
	for i := range u.watches {
		if u.watches[i].running == l {
			u.watches[i].running = nil
		}
	}
}

// removeScratch removes the folder of an instance that has ended.
func (h *Host) removeScratch(u *unit) {
	if slices.ContainsFunc(u.prog.prepared, func(p *watchers.Prepared) bool { return p.Scratch }) {
		if err := os.RemoveAll(h.scratch(u.name)); err != nil {
			h.log.Warn("scratch_not_removed", "machine", u.name, "error", err)
		}
	}
}

// scratch is the folder of a machine beside its payload. A manifest's name is a file name as it is; one that a Deployment gives need not
// be, and must not lead elsewhere.
func (h *Host) scratch(name string) string {
	return filepath.Join(h.scratchRoot, strings.ReplaceAll(url.PathEscape(name), ".", "%2E"))
}
