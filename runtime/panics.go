package runtime

import (
	"fmt"
	"runtime/debug"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// panicked takes a panic and ends the look with it. One that comes after the look has returned is only logged.
func (l *look) panicked(p any, stack string) {
	text := fmt.Sprint(p)
	l.view.Log.Error("watcher_panicked", "machine", l.unit.name, "watcher", l.name, "panic", text, "stack", stack)
	l.panic.CompareAndSwap(nil, &watchers.Report{Outcome: machine.OutcomePanic, Message: "the watcher panicked: " + text})
	if l.cancel != nil {
		l.cancel()
	}
}

// ask asks a watcher something in the turn: when it is due, which paths it wants, that its activation is over. A panic there costs the answer
// and shows as the watcher's outcome; the machine decides nothing by it, as no look has ended.
func (u *unit) ask(i int, question func()) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		name := u.prog.spec(i).Name
		u.host.log.Error("watcher_panicked", "machine", u.name, "watcher", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		u.host.metrics.looks.WithLabelValues(u.prog.def.Manifest.Name, name, machine.OutcomePanic).Inc()
		u.watches[i].last = &lastReport{outcome: machine.OutcomePanic, message: fmt.Sprintf("the watcher panicked: %v", p), at: u.wall}
	}()
	question()
}
