package runtime

import (
	"context"
	"fmt"
	"sync"

	"github.com/statecraft-io/statecraft/watchers"
)

// lookPool runs looks on goroutines, a bounded number at once; the others wait in order, without one. In a simulation it hands them to
// Config.Intercept in place of a goroutine, by the same rules.
// Listeners do not count, there are as many as there are active ones, and neither do looks that wait for a governor: those of
// one governor would else keep all others from running.
type lookPool struct {
	ctx     context.Context    // of every look; ends with the host
	hands   func(*PendingLook) // Config.Intercept, nil where looks run
	end     context.CancelFunc
	max     int
	mu      sync.Mutex
	stopped bool // no look starts any more
	running int
	waiting []*look
	idle    int        // goroutines that wait for a look
	handed  chan *look // to those; holds as many as may be idle, so that handing over never waits
	all     sync.WaitGroup
}

// maxIdle is how many goroutines wait for the next look: those of a burst are taken by a few whose stacks have grown already.
const maxIdle = 64

func newLookPool(limit int, intercept func(*PendingLook)) *lookPool {
	ctx, cancel := context.WithCancel(context.Background())
	return &lookPool{ctx: ctx, end: cancel, hands: intercept, max: limit, handed: make(chan *look, maxIdle)}
}

// start runs a look, at once or when there is room. Where the host is stopping it does neither: what is not started then
// is what a crash would have left out.
func (p *lookPool) start(l *look) {
	if !l.listener && l.governor != "" && l.release == nil {
		p.admit(l)
		return
	}
	if p.hands != nil {
		if p.place(l) {
			p.hand(l)
		}
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopped:
	case l.listener:
		p.all.Go(l.do)
	case p.running >= p.max:
		p.waiting = append(p.waiting, l)
	case p.idle > 0:
		p.running++
		p.idle--
		p.handed <- l
	default:
		p.running++
		p.all.Go(func() {
			for next := l; next != nil; next = p.next() {
				next.do()
			}
		})
	}
}

// admit starts a look when its governor has a slot for it.
func (p *lookPool) admit(l *look) {
	granted := func(release func()) {
		l.release = release
		p.start(l)
	}
	l.leave = l.unit.host.governors.ask(l.governor, l.wait, granted, func() {
		l.cancel()
		l.report(watchers.Failure(fmt.Sprintf("governor %q gave no slot within %s", l.governor, l.wait)), true)
	})
}

// next returns the look that has waited longest or, where none does, the next one that is started; nil to end the goroutine.
func (p *lookPool) next() *look {
	if l, last := p.queued(); l != nil || last {
		return l
	}
	select {
	case l := <-p.handed:
		return l
	case <-p.ctx.Done():
		return nil
	}
}

// queued takes a look from the queue. Where there is none the goroutine is idle, or one too many.
func (p *lookPool) queued() (l *look, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) > 0 {
		l = p.waiting[0]
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		return l, false
	}
	p.running--
	if p.idle >= maxIdle || p.stopped {
		return nil, true
	}
	p.idle++
	return nil, false
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
