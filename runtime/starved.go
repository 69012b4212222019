package runtime

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/watchers"
)

// The pauses before a look that could not be made is tried again: the first, which doubles, and the longest. The watcher's interval may be sooner.
const (
	starvedFirst   = time.Second
	starvedLongest = time.Minute
)

// starving is which watchers the host could not make the last look of, and why. While there are any the host is degraded.
type starving struct {
	mu sync.Mutex
	of map[string]string // "<unit>/<watcher>": the message
}

func (s *starving) set(watcher, message string) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]string{}
	}
	s.of[watcher] = message
	return len(s.of)
}

func (s *starving) clear(watcher string) (count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, watcher)
	return len(s.of)
}

// degraded says in one line what cannot be made.
func (s *starving) degraded() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.of) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(s.of)))
	others := ""
	if more := len(s.of) - 1; more > 0 {
		others = fmt.Sprintf(", and those of %d other watchers", more)
	}
	return []string{fmt.Sprintf("looks cannot be made for want of descriptors, processes, memory or space: those of %s (%s)%s; they are tried again by themselves",
		first, s.of[first], others)}
}

// starved arranges another try of a look that could not be made.
func (u *unit) starved(i int, message string) {
	w := &u.watches[i]
	u.host.metrics.starved.Set(float64(u.host.starving.set(u.name+"/"+u.prog.spec(i).Name, message)))
	u.plan(i, watchers.Looked)
	pause := min(starvedFirst<<min(w.starved, 30), starvedLongest)
	w.starved++
	if _, listener := w.watcher.(watchers.Listener); listener { // takeReport starts it again
		return
	}
	pause = pause/2 + u.host.cfg.Random(pause/2) // not all at once, who have ended in the same moment
	if w.due == 0 || w.due > u.elapsed+pause {
		u.setDue(w, watchers.Due{After: pause}, watchers.Interval)
	}
}

// fed notes that a watcher looks again, or does not want to any more.
func (u *unit) fed(i int) {
	if w := &u.watches[i]; w.starved > 0 {
		w.starved = 0
		u.host.metrics.starved.Set(float64(u.host.starving.clear(u.name + "/" + u.prog.spec(i).Name)))
	}
}
