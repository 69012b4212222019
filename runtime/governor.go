package runtime

import (
	"context"
	"slices"
	"sync"
)

// governors admit a limited number of looks at a time under a name, in the order in which they asked.
type governors struct {
	mu       sync.Mutex
	capacity map[string]int
	slots    map[string]*governorSlots
}

type governorSlots struct {
	taken int
	queue []chan struct{}
}

func newGovernors(capacity map[string]int) *governors {
	return &governors{capacity: capacity, slots: map[string]*governorSlots{}}
}

// acquire waits for a slot until ctx ends. The caller calls release once.
func (g *governors) acquire(ctx context.Context, name string) (release func(), err error) {
	g.mu.Lock()
	s := g.slots[name]
	if s == nil {
		s = &governorSlots{}
		g.slots[name] = s
	}
	release = sync.OnceFunc(func() { g.release(name) })
	if s.taken < max(1, g.capacity[name]) {
		s.taken++
		g.mu.Unlock()
		return release, nil
	}
	turn := make(chan struct{})
	s.queue = append(s.queue, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return release, nil
	case <-ctx.Done():
		return nil, g.leave(name, turn, release, ctx.Err())
	}
}

// leave gives up waiting; a slot that was handed over meanwhile goes to the next.
func (g *governors) leave(name string, turn chan struct{}, release func(), cause error) error {
	g.mu.Lock()
	s := g.slots[name]
	i := slices.Index(s.queue, turn)
	if i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 {
		release()
	}
	return cause
}

func (g *governors) release(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.slots[name]
	if len(s.queue) > 0 {
		close(s.queue[0])
		s.queue = slices.Delete(s.queue, 0, 1)
		return
	}
	s.taken--
	if s.taken == 0 {
		delete(g.slots, name)
	}
}
