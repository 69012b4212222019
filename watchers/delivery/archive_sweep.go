package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	// sweepEvery is how long what the system's notices of changed files miss can stay unseen: writes by another name of the file, by a
	// mapping of it, by another machine, or when there are no notices left to have.
	sweepEvery = time.Second
	// sweepPause is the time between any two sweeps of a process, which bounds their cost: one takes some 40 µs, hence together they take less
	// than a hundredth of a processor, however many nodes it emulates.
	sweepPause = 5 * time.Millisecond
	// maxSwept bounds the files and folders of a payload that is swept; the interval finds changes of a larger one that nobody notices.
	maxSwept = 64
)

// sweepTurns spreads the sweeps of all watchers of a process. The zero sweepTurns is ready; it is safe for concurrent use.
type sweepTurns struct {
	mu   sync.Mutex
	free time.Duration // elapsed time of the next turn that nobody has
}

// take gives a turn to who has swept just now.
func (t *sweepTurns) take(now time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	turn := max(now+sweepEvery, t.free)
	t.free = turn + sweepPause
	return turn
}

// archiveSweep looks between two looks of an archive watcher whether files have changed, by what the file system says of them. It reads nothing,
// and reports nothing unless something has changed.
type archiveSweep struct {
	turns *sweepTurns // nil where it does not sweep
	full  time.Duration
	next  bool // the next look is a sweep
	done  bool // there was a look since the last plan, which may also have been left out
}

// sweepable returns the turns where a look costs nothing but its time: it takes nobody else's place, and is not noted.
func sweepable(spec *archiveSpec, w *machine.WatcherSpec, turns *sweepTurns) *sweepTurns {
	if spec.Governor != "" || w.OnInterrupt == machine.Fail || w.OnInterrupt == machine.Ask {
		return nil
	}
	return turns
}

// plan says when the next look is due after one that has ended.
func (s *archiveSweep) plan(a *archive, p watchers.Planning) time.Duration {
	if !s.next || !s.done {
		s.full = p.Elapsed + p.Interval
	}
	few := a.right && a.intact != nil && len(a.paths) <= maxSwept
	s.next = s.turns != nil && s.done && few
	s.done = false
	if s.next {
		if turn := s.turns.take(p.Elapsed); turn < s.full {
			return turn
		}
		s.next = false
	}
	return s.full
}

// finds reports whether a look was a sweep that found everything as it was. The first look of an activation, and one that somebody asks for, is none.
func (s *archiveSweep) finds(ctx context.Context, a *archive, look *watchers.Look) bool {
	s.done = true
	s.next = s.next && look.Moment == watchers.Interval && a.undisturbed(ctx)
	return s.next
}

// undisturbed reports whether the payload that was right is the same still.
func (a *archive) undisturbed(ctx context.Context) bool {
	if !a.right || a.intact == nil {
		return false
	}
	dir, digest, ok := a.want.slots.Current(a.want.name)
	return ok && dir == a.dir && digest == a.want.checksum && a.intact.Check(ctx) == nil
}
