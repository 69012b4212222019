// Package watchers holds the verbs of the system: the contract between a watcher and the runtime, and
// the watcher types that need nothing beyond the standard library. Types that bring a third-party
// module live in folders of their own below; watchers/all is the catalogue of every type.
//
// A watcher looks at the world once, or listens to it, and reports an outcome. It never decides a
// transition, holds the machine, keeps a clock or starts a goroutine that outlives its context: interval,
// splay, timeout, governor, retry, announcements, cancellation and fencing belong to the runtime.
package watchers

import (
	"context"
	"log/slog"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
)

// Type is one entry of the catalogue.
type Type struct {
	machine.WatcherType
	Summary string // one sentence for the reference
	Spec    any    // a zero value of the properties struct, whose field comments are the reference
	// Prepare decodes and validates the properties of one watcher of a definition.
	Prepare func(w *machine.WatcherSpec) (*Prepared, diag.List)
}

// Prepared is a watcher whose properties have been read. It is immutable and shared by all instances of the
// definition.
type Prepared struct {
	// New makes the watcher of one machine instance: a Checker or a Listener. Cheap: nothing is opened.
	New func() Watcher
	// Inline looks do not block and take microseconds: they run without a goroutine, in the machine's turn.
	Inline bool
	// Timeout bounds a look where the manifest's own `timeout` does not; 0 is the runtime's default.
	Timeout time.Duration
	// Interval is the time between looks where the manifest gives none; 0 is looks on entry only.
	Interval time.Duration
	// Governor and GovernorTimeout are those of the properties, used where the watcher has none of its own.
	Governor        string
	GovernorTimeout time.Duration
	// OnLeave is used where the manifest gives none.
	OnLeave machine.OnLeave
	// Waits is set where a look may say nothing for long, because it waits for a time or for something to be so.
	Waits bool
	// Scratch is set where looks need their scratch folder.
	Scratch bool
	// Survives is set where what a look starts is meant to outlive the host (exec's disown).
	Survives bool
}

// Watcher is a Checker or a Listener. The runtime calls one method of one watcher at a time, so that a
// watcher keeps what it must remember between looks in plain fields.
//
// A panic ends the activation with the outcome panic, and nothing else. For that a watcher starts goroutines by supervise.Go(ctx, f), and
// whatever it gives a library to call begins with defer supervise.Recover(ctx), both with the context of its look; locks that are held in
// between are released by defer. A test over the syntax tree refuses anything else.
type Watcher any

// Checker looks once. Check returns soon after ctx ends; its deadline is the look's time-out.
type Checker interface {
	Check(ctx context.Context, look *Look) Report
}

// Listener pushes reports while its activation lasts and returns when ctx ends. An early return is an
// outcome like that of a Checker; the runtime starts it again after a back-off while the state lasts.
type Listener interface {
	Listen(ctx context.Context, look *Look, emit func(Report)) Report
}

// Holder is a Listener that holds something in the machine's name for a time, such as an office or a place in a queue. It is asked before
// any other look of the machine starts, and where another machine's look requires a state of this one: a process that was stopped, or a
// host that slept, may have lost what it holds without anybody having told the machine. Only then Holds is false: from the loss on until
// the machine has taken the report of it, of which Told tells. Both are called from other goroutines, and must not block.
type Holder interface {
	Listener
	Holds() bool
	Told(outcome string)
}

// Planner is a Checker that says itself when it is due, instead of on entry and at intervals.
type Planner interface {
	Checker
	// Plan is called after every Moment and returns when the next look is due. It must not block.
	Plan(p Planning) Due
}

// Resetter is a watcher that wants to know when its activation has ended: the machine has left the states that
// it matches. A look of that activation may still be running where the watcher is not Inline. The next Plan, or
// look where there is none, belongs to a new activation.
type Resetter interface {
	Reset()
}

// PathWatcher is a Checker that wants a look soon after one of these files or folders changes. Paths are
// absolute; they are read again after every look.
type PathWatcher interface {
	Checker
	Paths(look *Look) []string
}

// Moment is when a Planner is asked, and why a look happens.
type Moment string

// The moments.
const (
	Started  Moment = "started"  // the machine started in a matching state, or was resumed in one
	Entered  Moment = "entered"  // a matching state was entered, from a matching one or not
	Looked   Moment = "looked"   // a look has ended
	Interval Moment = "interval" // the interval has passed (looks only)
	Poked    Moment = "poked"    // a path, a foreign state or an operator asks for a look (looks only)
	Jumped   Moment = "jumped"   // the wall clock was set or the system was suspended (plans only)
)

// Planning is what a Planner is given.
type Planning struct {
	Moment   Moment
	Now      time.Time     // wall clock
	Elapsed  time.Duration // of the host's clock: only differences count, setting the wall clock changes nothing
	Interval time.Duration // the watcher's, or Prepared.Interval; 0 for none
	Strict   bool          // the manifest has a format; without, Choria's habits apply
	Resumed  bool          // with Started: the machine goes on in the state that it was in before a restart or reload
	// Since is when the visit of the state began, by the wall clock; across restarts it stays.
	Since time.Time
	// Random returns a delay in [0, below); 0 for below <= 0.
	Random func(below time.Duration) time.Duration
}

// Due is the time of the next look: After a time has passed however the wall clock is set, or At an
// instant of the wall clock. The zero Due is never; an immediate look is After 1 ns.
type Due struct {
	After time.Duration
	At    time.Time
}

// Look is what a watcher is given. Everything in it is read-only and, unless said otherwise, a snapshot.
type Look struct {
	Moment    Moment
	Machine   string
	Instance  string // the key of a template's instance, "" for other machines
	Version   string
	Watcher   string
	State     string
	Identity  string // who the machine runs as
	Directory string // the machine's payload, absolute; "" for machines that have none
	Scratch   string // the machine's own folder outside of the payload, absolute, mode 0700
	At        time.Time
	Deadline  time.Time // wall clock; zero for listeners and inline looks
	Data      map[string]any
	Input     map[string]any // what an instance was started with
	Facts     *Facts         // of the host; never nil
	Strict    bool
	Log       *slog.Logger
	// Live reads the machine's state and data as they are now, for listeners: Data is of the time when they began. May be nil.
	Live    func() (state string, data map[string]any)
	Secrets []string // the keys of Data that are secret: who writes the whole of Data anywhere leaves them out
}

// Now is the look with the machine's state and data as they are now.
func (l *Look) Now() *Look {
	if l.Live == nil {
		return l
	}
	now := *l
	now.State, now.Data = l.Live()
	return &now
}

// Report is what a look found.
type Report struct {
	Outcome string         // machine.OutcomeSuccess, OutcomeFail or one that the type declares
	Payload map[string]any // the event's payload, JSON values
	Data    map[string]any // machine data to set, as one change; a nil value deletes the key
	Facts   []byte         // a JSON object that replaces the host's facts; nil leaves them alone
	Message string         // for people: one line, why the outcome is what it is
	// State is the type's part of its state event (io.choria.machine.watcher.<type>.v1.state); nil
	// for types without one.
	State map[string]any
	Quiet bool // keep State for the announce interval, do not publish it now
}

// Success and Failure make the plain reports.
func Success() Report { return Report{Outcome: machine.OutcomeSuccess} }

// Failure reports fail with a message.
func Failure(message string) Report {
	return Report{Outcome: machine.OutcomeFail, Message: message}
}
