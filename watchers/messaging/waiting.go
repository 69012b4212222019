package messaging

import "sync"

// waitingList holds the requests of a service that wait for their turn, in their order. It grows with them.
type waitingList struct {
	mu      sync.Mutex
	list    []request
	bytes   int
	away    int // how many were turned away
	told    int // of them, as far as it was reported
	settled int // what was told when nobody waited
	closed  bool
	woken   chan struct{}
}

func newWaitingList() *waitingList { return &waitingList{woken: make(chan struct{}, 1)} }

// admission is what becomes of a request that wants to wait.
type admission int

const (
	taken admission = iota
	full            // it is turned away
	ended           // nobody takes from the list any more
)

// add adds a request unless most wait, or maxPendingSize bytes of them.
func (w *waitingList) add(r request, most int) admission {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return ended
	case len(w.list) >= most || w.bytes+len(r.Data()) > maxPendingSize:
		w.away++
		return full
	}
	w.list = append(w.list, r)
	w.bytes += len(r.Data())
	select {
	case w.woken <- struct{}{}:
	default:
	}
	return taken
}

// next takes the request that has waited the longest, nil where there is none.
func (w *waitingList) next() request {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) == 0 {
		w.list = nil // what it grew to is given back
		return nil
	}
	r := w.list[0]
	w.list[0] = nil
	w.list = w.list[1:]
	w.bytes -= len(r.Data())
	return r
}

// news returns how many were turned away in all, where that is to be told: with the first of a crowd, and when nobody waits any more.
func (w *waitingList) news() (away int, news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	news = w.away > w.told && (w.told == w.settled || len(w.list) == 0)
	if news {
		w.told = w.away
	}
	if len(w.list) == 0 {
		w.settled = w.told
	}
	return w.away, news
}

// each serves requests one after the other until done is closed.
func (w *waitingList) each(done <-chan struct{}, serve func(request)) {
	for {
		select {
		case <-w.woken:
		case <-done:
			return
		}
		for r := w.next(); r != nil; r = w.next() {
			serve(r)
		}
	}
}

// close takes no more, and hands over those that still wait.
func (w *waitingList) close(leave func(request)) {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	for r := w.next(); r != nil; r = w.next() {
		leave(r)
	}
}
