package runtime

import (
	"context"
	"sync"
)

// lookPool runs looks on goroutines, a bounded number at once; the others wait in order, without one.
// Listeners do not count, there are as many as there are active ones, and neither do looks that wait for a governor: those of
// one governor would else keep all others from running.
type lookPool struct {
	ctx     context.Context // of every look; ends with the host
	end     context.CancelFunc
	max     int
	mu      sync.Mutex
	stopped bool // no look starts any more
	running int
	waiting []*look
	all     sync.WaitGroup
}

func newLookPool(limit int) *lookPool {
	ctx, cancel := context.WithCancel(context.Background())
	return &lookPool{ctx: ctx, end: cancel, max: limit}
}

// start runs a look, at once or when there is room. Where the host is stopping it does neither: what is not started then
// is what a crash would have left out.
func (p *lookPool) start(l *look) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
	case l.listener:
		p.all.Go(l.do)
	case l.governor != "" && l.release == nil:
		p.all.Go(func() {
			if l.admit() {
				p.start(l)
			}
		})
	case p.running >= p.max:
		p.waiting = append(p.waiting, l)
	default:
		p.running++
		p.all.Go(func() {
			for next := l; next != nil; next = p.next() {
				next.do()
			}
		})
	}
}

// next returns the look that has waited longest, nil to end the goroutine.
func (p *lookPool) next() *look {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		p.running--
		return nil
	}
	l := p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	return l
}

// stop cancels every look and reports, on the channel, when all have returned.
func (p *lookPool) stop() <-chan struct{} {
	p.mu.Lock()
	p.stopped, p.waiting = true, nil
	p.mu.Unlock()
	p.end()
	ended := make(chan struct{})
	go func() {
		p.all.Wait()
		close(ended)
	}()
	return ended
}
