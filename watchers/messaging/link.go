package messaging

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

type linkName struct{ id, name string }

// link is a named connection, whether it is open or only waited for. The last who uses it takes it away.
type link struct {
	name    linkName
	set     string // name of its credentials
	users   int    // who holds or awaits it
	holders int    // for whom it is open
	line    *line  // nil while nobody holds it
	inlets  map[*inlet]bool
	faults  map[string]int // by kind, since the link was first used
	// closings is how many connections in a row nats.go has closed for good soon after they were opened.
	closings int
	history
	changed chan struct{} // closed and replaced at every change
}

// history is what has happened to a link. The numbers only grow, so that nobody who looks late misses what was between.
type history struct {
	logins, losses, refusals int
	server                   string // that it was connected to last
	reason                   string // why it was lost or refused
	broken                   error  // why it can never be opened as it is configured
	down, refused            bool   // it has been told that it is
}

// standing is a link at one moment.
type standing struct {
	history
	up   bool
	conn *nats.Conn // nil where there is none; while up is false, one that reconnects
}

// up reports whether the link can be used; under the lock.
func (l *link) up() bool { return l.line != nil && l.line.up }

// notify wakes who looks at the link; under the lock.
func (l *link) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (p *Pool) standing(l *link) (standing, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := standing{history: l.history}
	if l.line != nil {
		s.up, s.conn = l.line.up, l.line.conn
	}
	return s, l.changed
}

// join returns the link of a name and keeps it until leave.
func (p *Pool) join(id, name string) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := linkName{id, name}
	l := p.links[key]
	if l == nil {
		l = &link{name: key, inlets: map[*inlet]bool{}, faults: map[string]int{}, changed: make(chan struct{})}
		p.links[key] = l
		if p.of[id] == nil {
			p.of[id] = map[*link]bool{}
		}
		p.of[id][l] = true
	}
	l.users++
	return l
}

func (p *Pool) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left(l)
}

func (p *Pool) left(l *link) {
	l.users--
	if l.users == 0 {
		delete(p.links, l.name)
		if delete(p.of[l.name.id], l); len(p.of[l.name.id]) == 0 {
			delete(p.of, l.name.id)
		}
	}
}

// hold opens a link, or shares it where it is open, until release.
func (p *Pool) hold(id, name, set string) (*link, error) {
	c, err := p.ask(id, set)
	if err != nil {
		return nil, err
	}
	l := p.join(id, name)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed():
		err = errClosed
	case l.holders > 0 && l.set != set:
		err = fmt.Errorf("the connection %q is open with the credentials %q, not %q; give one of them another name", name, l.set, set)
	}
	if err != nil {
		p.left(l)
		return nil, err
	}
	if l.holders == 0 {
		l.set, l.history = set, history{}
		p.start(l, c)
	}
	l.holders++
	return l, nil
}

// release lets go of a link; the last one's connection is drained and closed in the background.
func (p *Pool) release(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.holders--
	if l.holders == 0 {
		p.end(l, true)
	}
	p.left(l)
}
