package messaging

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// line is one nats.Conn of a link, from its first dial to its end. A link whose credentials move to other brokers gets another.
type line struct {
	pool   *Pool
	link   *link
	given  *Credentials // it was made with
	dial   context.Context
	abort  context.CancelFunc // ends dial, and with it attempts to connect and an open socket
	opened chan struct{}      // closed when nats.Connect has returned
	gone   chan struct{}      // closed when the connection has been closed

	// Under the pool's lock.
	conn    *nats.Conn // nil until it is there
	up      bool
	latest  *Credentials // that the source gave last
	offered *Credentials // that the last login was tried with
	reason  error        // that the broker gave before it ended the session
	planned bool         // it reconnects because we want it to
	fresh   bool         // latest was asked for just now, for the login that comes
	relog   *time.Timer  // nil while no reconnect is planned
	closed  bool         // nats.go has closed it for good, and another takes its place soon
	since   time.Time    // when it logged in last; zero before
}

// start makes a line; under the lock.
func (p *Pool) start(l *link, c *Credentials) {
	ln := &line{pool: p, link: l, given: c, latest: c, offered: c, fresh: true, opened: make(chan struct{}), gone: make(chan struct{})}
	ln.dial, ln.abort = context.WithCancel(p.ctx)
	l.line = ln
	p.work.Go(ln.open)
}

// open dials for the first time; later attempts are nats.go's own.
func (ln *line) open() {
	defer supervise.Recover(ln.pool.ctx)
	defer close(ln.opened)
	conn, err := ln.connect()
	ln.current(func(l *link) {
		if err != nil {
			l.broken = err
			ln.fault("unusable", err)
		}
	})
	ln.pool.mu.Lock()
	ln.conn = conn
	ln.pool.mu.Unlock()
}

// end takes a link's line away and closes it in the background; under the lock.
func (p *Pool) end(l *link, drain bool) {
	ln := l.line
	if ln == nil {
		return
	}
	l.line = nil
	if ln.relog != nil {
		ln.relog.Stop()
	}
	up := ln.up
	p.work.Go(func() {
		defer supervise.Recover(p.ctx)
		ln.close(up, drain)
	})
	l.notify()
}

// close ends a line that nobody uses any more. While nats.go dials it holds the connection's lock, so that the dial is aborted first.
func (ln *line) close(up, drain bool) {
	defer ln.abort()
	if !up {
		ln.abort()
	}
	<-ln.opened
	ln.pool.mu.Lock()
	conn := ln.conn
	ln.pool.mu.Unlock()
	if conn == nil {
		return
	}
	if up && drain && conn.Drain() == nil {
		select {
		case <-ln.gone:
		case <-ln.pool.closing:
		}
	}
	conn.Close()
}

// current runs change under the lock, and wakes who looks at the link, unless the line is no longer the link's.
func (ln *line) current(change func(l *link)) {
	ln.pool.mu.Lock()
	defer ln.pool.mu.Unlock()
	if ln.link.line != ln {
		return
	}
	change(ln.link)
	ln.link.notify()
}

func (ln *line) connected(conn *nats.Conn) {
	defer supervise.Recover(ln.pool.ctx)
	server := conn.ConnectedUrlRedacted()
	ln.current(func(l *link) {
		ln.conn, ln.up, ln.planned, ln.reason = conn, true, false, nil
		ln.since = time.Now() //nolint:forbidigo // how long a connection lasted is no decision of a machine
		l.server, l.down, l.refused = server, false, false
		l.logins++
	})
}

// disconnected is told with an error, unless we wanted it.
func (ln *line) disconnected(_ *nats.Conn, err error) {
	defer supervise.Recover(ln.pool.ctx)
	ln.current(func(*link) {
		ln.up = false
		if err != nil {
			ln.lost(err)
		}
	})
}

// failed is told of attempts to connect that did not succeed, the first before nats.Connect returns.
func (ln *line) failed(conn *nats.Conn, err error) {
	defer supervise.Recover(ln.pool.ctx)
	ln.current(func(*link) {
		ln.conn, ln.fresh = conn, false
		if isRefusal(err) {
			ln.refused(err)
		} else {
			ln.lost(err)
		}
	})
}

// wait is how long to wait before the brokers are tried again. It is also where failures show that nats.go tells nobody of: a broker that
// answers but does not let the connection in.
func (ln *line) wait(attempt int) (pause time.Duration) {
	defer supervise.Recover(ln.pool.ctx)
	pause = mostBackoff // after a panic
	ln.pool.mu.Lock()
	conn, expected := ln.conn, !ln.planned && attempt == 1
	ln.pool.mu.Unlock()
	if conn != nil && !expected {
		err := conn.LastError()
		if err == nil {
			err = errUnreachable
		}
		ln.failed(conn, err)
	}
	return ln.pool.backoff(attempt)
}

// errored is told of everything else that goes wrong.
func (ln *line) errored(_ *nats.Conn, sub *nats.Subscription, err error) {
	defer supervise.Recover(ln.pool.ctx)
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
		ln.slow(sub)
	}
	ln.current(func(*link) {
		switch {
		case !isRefusal(err):
			ln.fault(faultKind(err), err)
		case ln.up:
			ln.reason = err // the session ends with it, and says so
		default:
			ln.refused(err)
		}
	})
}

// lost notes that the connection is not there, once until it is again; under the lock.
func (ln *line) lost(err error) {
	l := ln.link
	ln.up, ln.planned = false, false
	if l.down {
		return
	}
	if ln.reason != nil {
		err = ln.reason
	}
	l.down, l.reason = true, diag.Brief(err.Error(), diag.MaxBrief)
	l.losses++
	ln.fault("lost", err)
}

// refused notes that the broker does not want the credentials, once until it does; under the lock.
func (ln *line) refused(err error) {
	l := ln.link
	ln.up, ln.planned = false, false
	if l.refused {
		return
	}
	l.refused, l.down, l.reason = true, true, diag.Brief(err.Error(), diag.MaxBrief)
	l.refusals++
	ln.fault("refused", err)
}

// ended is told that the connection has been closed: by us, or by nats.go for good, as it does where a broker says an error that it does not know
// or that a line was too long.
func (ln *line) ended(conn *nats.Conn) {
	defer supervise.Recover(ln.pool.ctx)
	close(ln.gone)
	err := conn.LastError()
	if err == nil {
		err = nats.ErrConnectionClosed
	}
	ln.current(func(*link) {
		ln.closed = true
		ln.lost(fmt.Errorf("%w, for good; it is opened again", err))
		ln.plan()
	})
}

// plan plans another line in place of one that was closed, with pauses that grow while connections do not last; under the lock.
func (ln *line) plan() {
	l := ln.link
	if !ln.since.IsZero() && time.Since(ln.since) > mostBackoff { //nolint:forbidigo // as above
		l.closings = 0
	}
	l.closings++
	if ln.relog != nil {
		ln.relog.Stop()
	}
	ln.relog = time.AfterFunc(ln.pool.backoff(l.closings), ln.reopen)
}

// reopen puts another line in place of one that was closed.
func (ln *line) reopen() {
	defer supervise.Recover(ln.pool.ctx)
	p, l := ln.pool, ln.link
	c, err := p.ask(l.name.id, l.set)
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.line != ln || p.closed() {
		return
	}
	if err != nil {
		ln.fault("no_credentials", err)
		c = ln.latest
	}
	p.end(l, false)
	p.start(l, c)
}
