package main

import (
	"errors"
	"io"
	"net"
	"sync"
)

// reach is how much of a host is cut off.
type reach string

const (
	fromAll   reach = "all"   // from nodes, clients and the other hosts
	fromHosts reach = "hosts" // from the other hosts alone
)

// network is a TCP switch: hosts are reached at addresses where it listens, and it passes on what is said, or holds it back. A host that
// is cut off hears nothing and is heard by nobody until it is joined again; no connection is closed, as in a network that drops packets.
type network struct {
	mu        sync.Mutex
	changed   *sync.Cond
	cut       map[string]reach    // by host
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

func newNetwork(source func(port int) host) *network {
	n := &network{cut: map[string]reach{}, links: map[*link]bool{}, source: source}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// listen passes on to one listener of a host what comes to an address.
func (n *network) listen(to host, cluster bool, front, back string) error {
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
func (n *network) connect(l *link, back string) {
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
func (n *network) pump(l *link, to, from net.Conn) {
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
func (n *network) pass(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.isCut(l) && !n.closed {
		n.changed.Wait()
	}
	return !n.closed
}

func (n *network) isCut(l *link) bool {
	if l.cluster {
		return n.cut[l.to] != "" || n.cut[l.from] != ""
	}
	return n.cut[l.to] == fromAll
}

func (n *network) open(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[l] = true
	return !n.closed
}

func (n *network) forget(l *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, l)
}

// set cuts a host off, or joins it again with "".
func (n *network) set(name host, r reach) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[name] = r
	n.changed.Broadcast()
}

// close ends every connection and returns when nothing runs any more.
func (n *network) close() {
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
