package schedule

import (
	"time"

	"github.com/statecraft-io/statecraft/watchers"
)

// pass takes note of the time that has passed since the last look, and returns how many windows were missed.
func (w *watcher) pass(now time.Time, came arrival) int {
	switch {
	case came.moment == watchers.Started && came.resumed:
		return w.resume(now, came.since)
	case came.moment == watchers.Started:
		w.memory.live(now)
		w.drop(now, now)
		return 0
	case w.seen.IsZero() || now.Before(w.seen):
		w.memory.live(now)
		w.anchor(now)
		return 0
	}
	late := !w.next.IsZero() && now.After(w.next.Add(lateness))
	if !w.jumped && !late || !w.spec.calendar.endsWithin(w.seen, now) {
		w.memory.live(now)
		return 0
	}
	from := w.seen
	if before := w.memory.before(now); before.After(from) {
		from = before
	}
	w.memory.jump(now)
	return w.miss(from, now)
}

// resume takes up where the machine was before the host's restart: what was open when its state was entered is
// known to it, what began later is not.
func (w *watcher) resume(now, since time.Time) int {
	w.memory.live(now)
	if start := w.spec.calendar.latest(since); !start.IsZero() {
		w.run = span{start, start.Add(w.spec.calendar.length)}
	}
	if w.run.to.After(now) {
		return 0
	}
	w.drop(since, now)
	return w.miss(since, now)
}

// drop takes the windows that are open at now and began after since, or before now where both are the same, for
// done. Those that are to be caught up with are not dropped.
func (w *watcher) drop(since, now time.Time) {
	if w.spec.CatchUp == catchUpOnce {
		return
	}
	start := w.spec.calendar.latest(now)
	if since.Before(now) && start.After(since) || since.Equal(now) && start.Before(now) && !start.IsZero() {
		w.memory.add(span{now, start.Add(w.spec.calendar.length)})
	}
}

// miss counts the windows that came and went in (from, now] and remembers whether one is owed.
func (w *watcher) miss(from, now time.Time) int {
	if start := w.pending.start; !w.on() && !start.After(from) && from.Before(w.pending.opens) {
		from = start.Add(-1) // it waited for its delay
	}
	missed := w.spec.calendar.missed(from, now)
	w.owed = missed > 0 && w.spec.CatchUp == catchUpOnce
	return missed
}

// anchor keeps what is in progress to its length when the clock was set to before its beginning, and takes it for
// done, so that it does not begin again when the clock comes there.
func (w *watcher) anchor(now time.Time) {
	if w.on() && now.Before(w.run.from) {
		w.memory.add(w.run)
		w.run = span{now, now.Add(w.spec.calendar.length)}
	}
}

// follow brings what is in progress to now and returns why, for people. One look says one thing: where a
// window has ended and another one is open, the other one begins with the next look.
func (w *watcher) follow(now time.Time) string {
	window := w.open(now)
	switch {
	case w.on() && !window.to.IsZero() && !window.from.After(w.run.to):
		if window.to.After(w.run.to) {
			w.run.to = window.to
		}
		return ""
	case w.on() && now.Before(w.run.to):
		return ""
	case w.on():
		w.end()
		w.again = w.owed || !window.to.IsZero()
		return "the window has ended"
	case !window.to.IsZero():
		w.run, w.owed = window, false
		return "the window until " + window.to.Format(time.RFC3339) + " has begun"
	case w.owed:
		w.run, w.owed = span{now, now.Add(w.spec.calendar.length)}, false
		return "a window until " + w.run.to.Format(time.RFC3339) + " runs in place of the missed"
	default:
		return ""
	}
}

// end closes what is in progress.
func (w *watcher) end() {
	if _, lived := w.memory.lived(w.run.to); !lived {
		w.memory.add(w.run)
	}
	w.run = span{}
}
