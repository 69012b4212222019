package broker

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// still is a connection on which nothing happens.
type still struct{ net.Conn }

func (still) Close() error { return nil }

// queueing is a listener without a network, in virtual time.
type queueing struct {
	*arrivals
	at      time.Time
	dropped []string
}

func newQueueing(change func(*Limits)) *queueing {
	limits := DefaultLimits()
	change(&limits)
	s := &queueing{at: time.Unix(1e9, 0)}
	s.arrivals = newArrivals(nil, &limits, room{places: 100, members: 100, time: 20 * time.Second}, func() time.Time { return s.at })
	s.told = func(reason string, from netip.Addr) { s.dropped = append(s.dropped, reason+" "+from.String()) }
	s.filling = func(joined, members int) { s.dropped = append(s.dropped, fmt.Sprintf("%d of %d", joined, members)) }
	return s
}

// comes lets one arrive whose other side is silent from the moment that it is greeted.
func (s *queueing) comes(from string) *arrival {
	one := &arrival{Conn: still{}, of: s.arrivals, from: netip.MustParseAddr(from), came: s.at}
	s.arrive(one)
	return one
}

// greets lists those that the server gets, which waits for each of them from then on.
func (s *queueing) greets() []*arrival {
	var all []*arrival
	for len(s.turn) > 0 {
		one := <-s.turn
		one.blocked.Store(max(1, int64(s.at.Sub(one.came))))
		all = append(all, one)
	}
	return all
}

// passes lets time pass, and ends those whose time is over.
func (s *queueing) passes(d time.Duration) {
	s.at = s.at.Add(d)
	over, _ := s.overdue(s.at)
	for reason, all := range over {
		s.drop(reason, all...)
	}
}

// TestH73AddressesTakeTurns lets one address come with many and another with one: the one is next. Of one address the newest is first.
func TestH73AddressesTakeTurns(t *testing.T) {
	s := newQueueing(func(l *Limits) { l.Greeted = 2 })
	s.comes("10.0.0.1")
	s.comes("10.0.0.1")
	held := s.greets()
	for range 5 {
		s.comes("10.0.0.1")
	}
	newest, other := s.comes("10.0.0.1"), s.comes("10.0.0.2")
	s.drop(droppedSlow, held...)
	if got := s.greets(); !slices.Equal(got, []*arrival{newest, other}) {
		t.Errorf("greeted %v, want the newest of the first address and the one of the other", got)
	}
}

// TestH73AnAddressMakesRoomForAnother fills every place from one address. One that comes from another does not wait until their time is over.
func TestH73AnAddressMakesRoomForAnother(t *testing.T) {
	s := newQueueing(func(l *Limits) { l.Greeted = 4 })
	for range 10 {
		s.comes("10.0.0.1")
	}
	s.greets()
	other := s.comes("10.0.0.2")
	s.passes(2 * leastOwed)
	if got := s.greets(); len(got) != 1 || got[0] != other {
		t.Errorf("greeted %v, want the one of the other address", got)
	}
	if want := []string{"shared 10.0.0.1"}; !slices.Equal(s.dropped, want) {
		t.Errorf("dropped %v, want %v", s.dropped, want)
	}
}

// TestH73ArrivalsAreBounded holds them to their number, to that of an address and to their time.
func TestH73ArrivalsAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		does func(*queueing)
		want []string
	}{
		"number": {func(s *queueing) {
			for i := range 103 {
				s.comes(fmt.Sprintf("10.0.0.%d", i))
			}
		}, []string{"80 of 100", "full 10.0.0.2"}},
		"address": {func(s *queueing) {
			for range 13 {
				s.comes("10.0.0.1")
			}
		}, []string{"address 10.0.0.1"}},
		"silence":   {func(s *queueing) { s.comes("10.0.0.1"); s.greets(); s.passes(11 * time.Second) }, []string{"silent 10.0.0.1"}},
		"patience":  {func(s *queueing) { s.comes("10.0.0.1"); s.greets(); s.passes(9 * time.Second) }, nil},
		"handshake": {func(s *queueing) { s.comes("10.0.0.1").spoke.Store(true); s.greets(); s.passes(31 * time.Second) }, []string{"slow 10.0.0.1"}},
		"the broker's own time": {func(s *queueing) {
			s.comes("10.0.0.1").spoke.Store(true)
			s.passes(50 * time.Second)
		}, nil},
		"a crowd": {func(s *queueing) {
			for range 3 {
				s.comes("10.0.0.1")
			}
			s.greets()
			s.passes(4 * time.Second)
		}, []string{"silent 10.0.0.1", "silent 10.0.0.1"}},
		"its turn": {func(s *queueing) {
			for range 3 {
				s.comes("10.0.0.1").spoke.Store(true)
			}
			s.passes(61 * time.Second)
		}, []string{"waited 10.0.0.1"}},
		"a member": {func(s *queueing) { s.logIn(s.comes("10.0.0.1")); s.greets(); s.passes(time.Hour) }, nil},
		"a turn": {func(s *queueing) {
			s.members = 2
			for range 2 {
				s.logIn(s.comes("10.0.0.1"))
				s.greets()
			}
			s.passes(21 * time.Second)
			s.comes("10.0.0.2")
			s.passes(time.Second)
		}, []string{"turn 10.0.0.1"}},
		"members": {func(s *queueing) {
			for range 80 {
				s.logIn(s.comes("10.0.0.1"))
				s.greets()
			}
		}, []string{"80 of 100"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newQueueing(func(l *Limits) { l.Greeted, l.PerAddress = 2, 10 })
			tt.does(s)
			if !slices.Equal(s.dropped, tt.want) {
				t.Errorf("dropped %v, want %v", s.dropped, tt.want)
			}
		})
	}
}

// TestH73OpenFilesAreHeldAgainstTheCaps lowers both caps by the same part, or says what to do.
func TestH73OpenFilesAreHeldAgainstTheCaps(t *testing.T) {
	wanted := caps{fleet: 25_000, enrollment: 10_000}
	for limit, want := range map[uint64]caps{1 << 20: wanted, 38_072: wanted, 20_072: {12_142, 4857}, 4096: {731, 292}} {
		got, err := wanted.fit(limit, 512)
		if err != nil || got != want {
			t.Errorf("%d files: %v, %v, want %v", limit, got, err, want)
		}
	}
	if _, err := wanted.fit(1024, 512); err == nil {
		t.Error("1024 files are enough")
	}
	if got, err := (caps{fleet: 10}).fit(1024, 64); err != nil || got.fleet != 10 {
		t.Errorf("few connections: %v, %v", got, err)
	}
}

func TestNeighbourhood(t *testing.T) {
	for address, want := range map[string]string{
		"10.1.2.3:4": "10.1.2.3", "[::ffff:10.1.2.3]:4": "10.1.2.3", "[2001:db8:1:2:3:4:5:6]:4": "2001:db8:1:2::", "[fe80::1%eth0]:4": "fe80::",
	} {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := neighbourhood(net.TCPAddrFromAddrPort(at)); got.String() != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
