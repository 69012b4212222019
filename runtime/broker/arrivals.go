package broker

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Why a connection ended before it had logged in; labels of a metric.
const (
	droppedFull    = "full"    // as many are connected as may be, or wait
	droppedAddress = "address" // as many wait from one address as may
	droppedWaited  = "waited"  // its turn did not come
	droppedSilent  = "silent"  // it said nothing
	droppedSlow    = "slow"    // it did not finish its login
	droppedShared  = "shared"  // it made room for another address
	droppedTurn    = "turn"    // it had logged in to join, and had its time while others wait
)

const (
	tendEvery = 100 * time.Millisecond
	// leastOwed is what an arrival may owe before it makes room for another address: a round trip.
	leastOwed   = 250 * time.Millisecond
	acceptPause = 50 * time.Millisecond
	// fewGreeted may be in their login at least, also where few may be logged in; otherwise a quarter of those.
	fewGreeted = 16
	// From fillingAt of fillingOf places on the listener says that it fills; and again after a tenth has become free.
	fillingAt, fillingOf = 8, 10
)

// arrivals are the connections of one listener, in front of its server: those that have not logged in have bounds of their own in time,
// in number and by address, apart from those that have. A connection first waits, which takes the broker an open file
// and less than a kilobyte; in its turn it is greeted, which takes 40 to 60 kB until it has logged in or is gone. Addresses
// take turns, and of one address the newest is first: who has waited long may have gone.
//
// Where those who have logged in take turns as well, as those do who join, each has its time while others wait, and is closed then:
// it comes back by itself.
//
// It owns two goroutines from open until its Close has returned: one accepts, one looks every 100 ms after those whose time is over.
type arrivals struct {
	net.Listener
	limits *Limits
	room
	now     func() time.Time
	told    func(reason string, from netip.Addr)
	filling func(joined, members int) // told that most places are taken, until they are not
	shut    func() bool               // nobody is greeted yet; nil is never
	turn    chan *arrival
	served  atomic.Bool // the server has come as far as to accept
	woken   chan struct{}
	closing context.Context
	close   context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	joined  int                    // those that have logged in
	since   map[*arrival]time.Time // they take turns: since when they have logged in, else nil
	greeted map[*arrival]bool
	all     list.List                 // of *arrival that wait, the oldest first
	waiting map[netip.Addr]*neighbors // the same by address
	turns   list.List                 // of *neighbors, those whose turn is next first
	warned  bool                      // that the places are filling
}

// room is what a listener has.
type room struct {
	places  int           // for connections, those in their login excluded
	members int           // of them for those that have logged in
	time    time.Duration // that one of them has while others wait; 0 is for ever
}

// neighbors are those of one address that wait, the oldest first.
type neighbors struct {
	list.List
	turn *list.Element
}

// openArrivals listens for a gate, which is told of those that are dropped.
func openArrivals(ctx context.Context, address string, limits *Limits, has room, g *gate) (*arrivals, error) {
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	a := newArrivals(l, limits, has, g.now)
	a.told, a.filling, a.shut = g.dropped, g.filling, func() bool { return !g.knowledge.Revoked.Known() }
	a.work.Go(a.accept)
	a.work.Go(a.tend)
	return a, nil
}

func newArrivals(l net.Listener, limits *Limits, has room, now func() time.Time) *arrivals {
	a := &arrivals{
		Listener: l, limits: limits, room: has, now: now, turn: make(chan *arrival, limits.Greeted), woken: make(chan struct{}, 1),
		greeted: map[*arrival]bool{}, waiting: map[netip.Addr]*neighbors{},
	}
	if has.time > 0 {
		a.since = map[*arrival]time.Time{}
	}
	a.closing, a.close = context.WithCancel(context.Background())
	return a
}

// Addr implements net.Listener. The server asks for it when it begins to accept.
func (a *arrivals) Addr() net.Addr {
	a.served.Store(true)
	return a.Listener.Addr()
}

// Accept implements net.Listener: it returns those whose turn it is.
func (a *arrivals) Accept() (net.Conn, error) {
	select {
	case one := <-a.turn:
		return one, nil
	case <-a.closing.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Those that wait are closed; those that the server has are the server's.
func (a *arrivals) Close() error {
	a.close()
	err := a.Listener.Close()
	a.work.Wait()
	a.mu.Lock()
	var left []*arrival
	for e := a.all.Front(); e != nil; e = e.Next() {
		left = append(left, e.Value.(*arrival))
	}
	a.mu.Unlock()
	for _, one := range left {
		_ = one.Close()
	}
	for {
		select {
		case one := <-a.turn:
			_ = one.Close()
			continue
		default:
		}
		break
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// accept takes connections as they come. Without a file to open for one the oldest that waits gives up its own.
func (a *arrivals) accept() {
	for {
		conn, err := a.Listener.Accept()
		switch {
		case a.closing.Err() != nil:
			if conn != nil {
				_ = conn.Close()
			}
			return
		case err != nil:
			a.drop(droppedFull, a.oldest())
			pause := time.NewTimer(acceptPause)
			select {
			case <-pause.C:
			case <-a.closing.Done():
			}
			pause.Stop()
		default:
			a.arrive(&arrival{Conn: conn, of: a, from: neighbourhood(conn.RemoteAddr()), came: a.now()})
		}
	}
}

// arrive lets a connection wait for its turn, at the cost of those before it where too many do.
func (a *arrivals) arrive(one *arrival) {
	a.mu.Lock()
	there := a.waiting[one.from]
	if there == nil {
		there = &neighbors{}
		there.turn = a.turns.PushBack(there)
		a.waiting[one.from] = there
	}
	one.inAll, one.inFrom = a.all.PushBack(one), there.PushBack(one)
	var reason string
	var dropped *arrival
	switch {
	case there.Len() > a.limits.PerAddress:
		reason, dropped = droppedAddress, there.Front().Value.(*arrival)
	case a.connected() > a.places+a.limits.Greeted:
		reason, dropped = droppedFull, a.all.Front().Value.(*arrival)
	}
	a.next()
	used, warn := a.connected(), !a.warned && a.connected()*fillingOf >= a.places*fillingAt
	a.warned = a.warned || warn
	a.mu.Unlock()
	a.drop(reason, dropped)
	if warn {
		a.filling(used, a.places)
	}
	select {
	case a.woken <- struct{}{}:
	default:
	}
}

func (a *arrivals) oldest() *arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.all.Front(); e != nil {
		return e.Value.(*arrival)
	}
	return nil
}

// next greets those whose turn it is, as long as there is room; under the lock.
func (a *arrivals) next() {
	for a.turns.Len() > 0 && !a.full() && len(a.turn) < cap(a.turn) && a.closing.Err() == nil {
		from := a.turns.Front().Value.(*neighbors)
		a.turns.MoveToBack(from.turn)
		one := from.Back().Value.(*arrival)
		a.unqueue(one)
		one.phase = phaseGreeted
		a.greeted[one] = true
		a.turn <- one // it has room for all that may be greeted
	}
}

// unshut greets those who waited for the host to know who is banned.
func (a *arrivals) unshut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next()
}

// unqueue takes one away from those that wait; under the lock.
func (a *arrivals) unqueue(one *arrival) {
	a.all.Remove(one.inAll)
	there := a.waiting[one.from]
	there.Remove(one.inFrom)
	if there.Len() == 0 {
		delete(a.waiting, one.from)
		a.turns.Remove(there.turn)
	}
}

// logIn makes an arrival a member: its bounds are others from now on.
func (a *arrivals) logIn(one *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if one.phase != phaseGreeted {
		return
	}
	delete(a.greeted, one)
	one.phase = phaseMember
	one.member.Store(true)
	a.joined++
	if a.since != nil {
		a.since[one] = a.now()
	}
	a.next()
}

// left is told that a connection ends.
func (a *arrivals) left(one *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch one.phase {
	case phaseWaiting:
		a.unqueue(one)
	case phaseGreeted:
		delete(a.greeted, one)
	case phaseMember:
		a.joined--
		delete(a.since, one)
	case phaseGone:
	}
	one.phase = phaseGone
	if a.connected()*fillingOf < a.places*(fillingAt-1) {
		a.warned = false
	}
	a.next()
}

// connected is how many there are; under the lock.
func (a *arrivals) connected() int { return a.joined + len(a.greeted) + a.all.Len() }

// full reports whether nobody may log in before somebody else has gone; under the lock.
func (a *arrivals) full() bool {
	return a.shut != nil && a.shut() || a.joined >= a.members || len(a.greeted) >= min(a.limits.Greeted, max(a.members/4, fewGreeted))
}

// drop closes connections and says why.
func (a *arrivals) drop(reason string, all ...*arrival) {
	for _, one := range all {
		if one != nil {
			a.told(reason, one.from)
			_ = one.Close()
		}
	}
}

// tend ends those whose time is over, until the listener is closed. It sleeps while everybody has logged in.
func (a *arrivals) tend() {
	again := time.NewTicker(tendEvery)
	defer again.Stop()
	for {
		select {
		case <-a.woken:
			again.Reset(tendEvery)
		case <-again.C:
			over, none := a.overdue(a.now())
			if none {
				again.Stop()
			}
			for reason, all := range over {
				a.drop(reason, all...)
			}
		case <-a.closing.Done():
			return
		}
	}
}

// overdue lists those that are to end, by reason, and reports whether there is nobody who has not logged in.
func (a *arrivals) overdue(now time.Time) (over map[string][]*arrival, none bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all.Len() == 0 && len(a.greeted) == 0 {
		return nil, true
	}
	over = map[string][]*arrival{}
	for e := a.all.Front(); e != nil && now.Sub(e.Value.(*arrival).came) > a.limits.TLSTimeout; e = e.Next() {
		over[droppedWaited] = append(over[droppedWaited], e.Value.(*arrival))
	}
	crowded := a.all.Len() > 0
	held := map[netip.Addr][]*arrival{}
	for one := range a.greeted {
		reason, within := droppedSilent, a.limits.Silence
		if one.spoke.Load() {
			reason, within = droppedSlow, a.limits.Handshake
		}
		if crowded {
			within /= crowdedShare
		}
		if one.owed(now) > within {
			over[reason] = append(over[reason], one)
		} else {
			held[one.from] = append(held[one.from], one)
		}
	}
	over[droppedShared] = a.share(held, now)
	if a.joined >= a.members {
		over[droppedTurn] = a.turned(now)
	}
	return over, false
}

// turned lists those that have logged in and had their time, the first first, as many as wait; under the lock.
func (a *arrivals) turned(now time.Time) []*arrival {
	var had []*arrival
	for one, since := range a.since {
		if now.Sub(since) > a.time {
			had = append(had, one)
		}
	}
	slices.SortFunc(had, func(x, y *arrival) int { return a.since[x].Compare(a.since[y]) })
	return had[:min(len(had), a.all.Len())]
}

// crowdedShare is the part of its time that a connection has while others wait for its place.
const crowdedShare = 3

// share makes room for addresses that have nobody greeted, one each, at the cost of the address that has most; under the lock.
func (a *arrivals) share(held map[netip.Addr][]*arrival, now time.Time) []*arrival {
	var strangers []*neighbors
	for from, there := range a.waiting {
		if len(held[from]) == 0 {
			strangers = append(strangers, there)
		}
	}
	if len(strangers) == 0 || len(held) == 0 {
		return nil
	}
	most := slices.MaxFunc(slices.Collect(maps.Values(held)), func(x, y []*arrival) int { return len(x) - len(y) })
	if len(most) <= a.limits.Greeted/4 {
		return nil
	}
	slices.SortFunc(most, func(x, y *arrival) int { return int(y.owed(now) - x.owed(now)) })
	var gives []*arrival
	for i, one := range most[:min(len(strangers), len(most)-1)] {
		if one.owed(now) > leastOwed {
			gives = append(gives, one)
			a.turns.MoveToFront(strangers[i].turn)
		}
	}
	return gives
}

// arriving is how many wait and are greeted, and how many have logged in.
func (a *arrivals) arriving() (waiting, greeted, joined int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all.Len(), len(a.greeted), a.joined
}
