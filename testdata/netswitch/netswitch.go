// Package netswitch is a network between the hosts of a cell that run as processes of one machine: connections pass through it, and it cuts
// hosts off.
package netswitch

import (
	"errors"
	"io"
	"net"
	"sync"

	gopsnet "github.com/shirou/gopsutil/v4/net"
)

// Reach is how much of a host is cut off.
type Reach string

// How much of a host is cut off; "" is nothing.
const (
	FromAll   Reach = "all"   // from nodes, clients and the other hosts
	FromHosts Reach = "hosts" // from the other hosts alone
)

// Switch is a TCP switch: hosts are reached at addresses where it listens, and it passes on what is said, or holds it back. A host that
// is cut off hears nothing and is heard by nobody until it is joined again; no connection is closed, as in a network that drops packets.
type Switch struct {
	mu        sync.Mutex
	changed   *sync.Cond
	cut       map[string]Reach    // by host
	links     map[*link]bool      // that are open
	source    func(port int) host // whose connection comes from a port; "" for nodes and clients
	listeners []net.Listener
	closed    bool
	running   sync.WaitGroup
}

// host is the name of a host.
type host = string

// link is one connection through the switch.
type link struct {
	from, to host
	cluster  bool // between two hosts
	near     net.Conn
	far      net.Conn
}

// New makes a switch. Source says which host a connection from a port comes from, "" for nodes and clients.
func New(source func(port int) string) *Switch {
	n := &Switch{cut: map[string]Reach{}, links: map[*link]bool{}, source: source}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// Listen passes on to one listener of a host what comes to an address.
func (n *Switch) Listen(to host, cluster bool, front, back string) error {
	l, err := net.Listen("tcp", front)
	if err != nil {
		return err
	}
	n.listeners = append(n.listeners, l)
	n.running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // the switch is closed
			}
			n.running.Go(func() { n.connect(&link{to: to, cluster: cluster, near: near}, back) })
		}
	})
	return nil
}

// connect opens the second half of a connection and passes on in both directions until either ends.
func (n *Switch) connect(l *link, back string) {
	defer l.near.Close()
	if addr, ok := l.near.RemoteAddr().(*net.TCPAddr); ok && l.cluster {
		l.from = n.source(addr.Port)
	}
	if !n.open(l) {
		return
	}
	defer n.forget(l)
	if !n.pass(l) {
		return
	}
	far, err := net.Dial("tcp", back)
	if err != nil {
		return // the host is away
	}
	defer far.Close()
	n.mu.Lock()
	l.far = far
	n.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { n.pump(l, far, l.near) })
	both.Go(func() { n.pump(l, l.near, far) })
	both.Wait()
}

// pump copies one direction. When it ends, so does the other: after the cut, where there is one.
func (n *Switch) pump(l *link, to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		count, err := from.Read(buf)
		open := n.pass(l)
		if count > 0 && open {
			if _, failed := to.Write(buf[:count]); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if err != nil || !open {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

// pass waits while a link is cut, and reports whether the switch is still there.
func (n *Switch) pass(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.isCut(l) && !n.closed {
		n.changed.Wait()
	}
	return !n.closed
}

func (n *Switch) isCut(l *link) bool {
	if l.cluster {
		return n.cut[l.to] != "" || n.cut[l.from] != ""
	}
	return n.cut[l.to] == FromAll
}

func (n *Switch) open(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[l] = true
	return !n.closed
}

func (n *Switch) forget(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, l)
}

// Set cuts a host off, or joins it again with "".
func (n *Switch) Set(name host, r Reach) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[name] = r
	n.changed.Broadcast()
}

// Close ends every connection and returns when nothing runs any more.
func (n *Switch) Close() {
	n.mu.Lock()
	n.closed = true
	var open []io.Closer
	for l := range n.links {
		open = append(open, l.near)
		if l.far != nil {
			open = append(open, l.far)
		}
	}
	n.changed.Broadcast()
	n.mu.Unlock()
	for _, l := range n.listeners {
		open = append(open, l)
	}
	for _, c := range open {
		_ = c.Close()
	}
	n.running.Wait()
}

// Owner is the host whose process has a connection from a local port, "" for none. Processes are by host.
func Owner(port int, processes map[string]int) string {
	for name, pid := range processes {
		conns, err := gopsnet.ConnectionsPid("tcp", int32(pid))
		if err != nil {
			continue // it has just ended
		}
		for _, conn := range conns {
			if int(conn.Laddr.Port) == port {
				return name
			}
		}
	}
	return ""
}
