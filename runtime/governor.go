package runtime

import (
	"slices"
	"sync"
	"time"
)

// governors admit a limited number of looks at a time under a name, in the order in which they asked.
type governors struct {
	after    func(d time.Duration, f func()) (stop func())
	mu       sync.Mutex
	capacity map[string]int
	slots    map[string]*governorSlots
	stopped  bool // nobody is admitted any more
}

type governorSlots struct {
	taken int
	queue []*applicant
}

// applicant is who waits for a slot.
type applicant struct {
	granted func(release func())
	stop    func() // stops the clock of its waiting
}

func newGovernors(capacity map[string]int, after func(time.Duration, func()) func()) *governors {
	return &governors{after: after, capacity: capacity, slots: map[string]*governorSlots{}}
}

// stop lets go of all who wait. Neither they nor who asks from now on hear of it: their host stops.
func (g *governors) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	for _, s := range g.slots {
		for _, a := range s.queue {
			a.stop()
		}
		s.queue = nil
	}
}

// ask calls granted once there is a slot, before it returns where there is one; who was granted one calls release once. It calls
// refused instead where none came in time, or the caller has called leave before.
func (g *governors) ask(name string, wait time.Duration, granted func(release func()), refused func()) (leave func()) {
	g.mu.Lock()
	if g.stopped {
		g.mu.Unlock()
		return func() {}
	}
	s := g.slots[name]
	if s == nil {
		s = &governorSlots{}
		g.slots[name] = s
	}
	if s.taken < max(1, g.capacity[name]) {
		s.taken++
		g.mu.Unlock()
		granted(g.releaser(name))
		return func() {}
	}
	a := &applicant{granted: granted}
	leave = func() {
		if g.withdraw(name, a) {
			refused()
		}
	}
	a.stop = g.after(wait, leave)
	s.queue = append(s.queue, a)
	g.mu.Unlock()
	return leave
}

// withdraw takes an applicant out of the queue; false where it is not in it any more.
func (g *governors) withdraw(name string, a *applicant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[name]
	if s == nil {
		return false
	}
	i := slices.Index(s.queue, a)
	if i < 0 {
		return false
	}
	a.stop()
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

func (g *governors) releaser(name string) func() {
	return sync.OnceFunc(func() { g.release(name) })
}

// release hands a slot to who has waited longest.
func (g *governors) release(name string) {
	g.mu.Lock()
	s := g.slots[name]
	if len(s.queue) == 0 {
		if s.taken--; s.taken == 0 {
			delete(g.slots, name)
		}
		g.mu.Unlock()
		return
	}
	next := s.queue[0]
	s.queue = slices.Delete(s.queue, 0, 1)
	g.mu.Unlock()
	next.stop()
	next.granted(g.releaser(name))
}
