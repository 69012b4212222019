package broker

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// arrival is a connection of a listener. Until it has logged in it keeps account of how long the other side was waited for; what
// the broker itself takes, where thousands come at once, is not the other side's.
type arrival struct {
	net.Conn
	of   *arrivals
	from netip.Addr // the neighbourhood that it is counted for
	came time.Time

	// Its places among those that wait, while it waits; under the lock of arrivals.
	inAll, inFrom *list.Element
	phase         phase

	member  atomic.Bool
	spoke   atomic.Bool
	waited  atomic.Int64 // nanoseconds that Read was blocked
	blocked atomic.Int64 // since when Read is blocked, as nanoseconds after came; 0 where it is not
	ends    sync.Once
}

// phase is how far an arrival has come.
type phase int

const (
	phaseWaiting phase = iota // for its turn
	phaseGreeted              // the server has it: TLS and login
	phaseMember               // has logged in
	phaseGone
)

// Read implements net.Conn.
func (a *arrival) Read(p []byte) (int, error) {
	if a.member.Load() {
		return a.Conn.Read(p)
	}
	began := a.of.now().Sub(a.came)
	a.blocked.Store(max(1, int64(began)))
	n, err := a.Conn.Read(p)
	a.waited.Add(int64(a.of.now().Sub(a.came) - began))
	a.blocked.Store(0)
	if n > 0 {
		a.spoke.Store(true)
	}
	return n, err
}

// owed is how long the other side has been waited for, all in all: who sends a byte a second gains nothing by it.
func (a *arrival) owed(now time.Time) time.Duration {
	owed := time.Duration(a.waited.Load())
	if since := a.blocked.Load(); since != 0 {
		owed += now.Sub(a.came) - time.Duration(since)
	}
	return owed
}

// Close implements net.Conn.
func (a *arrival) Close() error {
	a.ends.Do(func() { a.of.left(a) })
	return a.Conn.Close()
}

// RemoteAddr implements net.Conn. The gate finds the arrival by it.
func (a *arrival) RemoteAddr() net.Addr { return &origin{Addr: a.Conn.RemoteAddr(), arrival: a} }

// origin is the address of an arrival.
type origin struct {
	net.Addr
	arrival *arrival
}

// neighbourhood is what counts as one address: the network of 64 bits that a site has at least, where it is one of IPv6.
func neighbourhood(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip
	}
	return network.Addr()
}
