// Package runtime hosts machines: it takes their events in turns, records what they decide, and runs their
// watchers. What a machine does is decided by package machine, what a watcher sees by package watchers; no
// behaviour lives here.
//
// # Who owns what
//
// A unit is one machine of a host. Its snapshot, its watchers' activations and its deadlines are touched
// by nothing but its own turn, and a unit has at most one turn at a time. Everything else reaches a unit
// through its inbox, a bounded queue under a small lock.
//
// # Goroutines
//
//   - Workers, Config.Workers of them, take units off the run queue and give each a turn. They never block on
//     I/O: a turn that has recorded something parks the unit until the journal's committer has synced it.
//   - The journal's committer (package journal) syncs the records of all units together and puts their units
//     back on the run queue.
//   - One timer goroutine sleeps until the earliest due time of all units.
//   - One publisher goroutine turns recorded facts into CloudEvents and hands them to the bus.
//   - One notifier goroutine turns changes of watched paths into looks, if any watcher asks for that.
//   - Every look that may block has a goroutine from its start to its end; at most Config.MaxLooks run at once. A few
//     goroutines wait for the next look, as their stacks have grown already.
//     A listener has one while its activation lasts.
//   - What looks start beside themselves, goroutines and callbacks of libraries, is supervised by package
//     watchers/supervise: a panic there ends the activation, as one of the look itself does.
//
// A machine at rest has no goroutine and at most one entry in the timer heap. Host.Run starts all of these
// and returns only when they have ended; a look that ignores its cancelled context is given up after
// a second, counted and named in the log.
//
// # The turn
//
// A turn takes one message: an operator's event first, then what is due, then the rest in order of arrival.
// machine.Step decides it, the record is appended to the journal, the unit parks. When the record is synced, the unit's
// next turn begins with the effects: the watchers of the state that was left are fenced and, as on_leave says,
// cancelled; those of the new state are woken; subscribers get the event; the transition is published. An
// effect therefore never happens before its cause is on disk.
//
// A result that arrives from a watcher carries the activation it belongs to. When that activation has
// ended the result is stale: it is counted, and changes nothing.
package runtime
