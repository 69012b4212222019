package messaging

import (
	"crypto/tls"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// longestSpread bounds how long after its token was renewed a connection logs in anew.
const longestSpread = 5 * time.Minute

// Refresh is told that the credentials of an identity have changed. A connection whose token differs logs in with the new one, at a
// random time below 5 minutes and below half of what is left of its session, so that many do not come together; one that is not
// connected tries at once. A connection whose brokers, trust, key or inbox differ is replaced at once: before Refresh returns, the old
// one is no longer found.
func (p *Pool) Refresh(id string) {
	if p == nil {
		return
	}
	for _, l := range p.held(id) {
		c, err := p.ask(id, l.set)
		p.mu.Lock()
		ln := l.line
		switch {
		case ln == nil:
		case err != nil:
			ln.fault("no_credentials", err)
		default:
			ln.renew(c)
		}
		p.mu.Unlock()
	}
}

// held returns the open links of an identity.
func (p *Pool) held(id string) []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	var held []*link
	for l := range p.of[id] {
		if l.line != nil {
			held = append(held, l)
		}
	}
	return held
}

// renew takes new credentials; under the lock.
func (ln *line) renew(c *Credentials) {
	ln.latest = c
	switch {
	case moved(ln.given, c) || ln.link.broken != nil || ln.closed:
		ln.replace(c)
	case c.Token == ln.offered.Token && ln.up:
	case ln.conn == nil: // it is still being opened, and asks for its token then
	case !ln.up:
		conn := ln.conn
		// At once, in place of waiting for its turn; it takes the connection's lock.
		supervise.Go(ln.pool.ctx, func() { _ = conn.ForceReconnect() })
	case ln.relog == nil:
		ln.relog = time.AfterFunc(spread(ln.left()), ln.login)
	}
}

// replace takes another line in place of this one; under the lock.
func (ln *line) replace(c *Credentials) {
	l := ln.link
	ln.pool.end(l, true)
	l.broken, l.down, l.refused = nil, false, false
	ln.pool.start(l, c)
}

// spread draws when to log in anew from what is left of a session.
func spread(left time.Duration) time.Duration {
	return rand.N(max(1, min(longestSpread, left/2)))
}

// left is how long the session still lasts; under the lock.
func (ln *line) left() time.Duration {
	if ln.offered.Expires.IsZero() {
		return 2 * longestSpread
	}
	return time.Until(ln.offered.Expires) //nolint:forbidigo // a session ends by the broker's clock, which is the real one
}

// login ends the session and begins another.
func (ln *line) login() {
	defer supervise.Recover(ln.pool.ctx)
	ln.pool.mu.Lock()
	ln.relog = nil
	due := ln.link.line == ln && ln.up && ln.offered.Token != ln.latest.Token
	ln.planned = due
	conn := ln.conn
	ln.pool.mu.Unlock()
	if due {
		_ = conn.ForceReconnect() // it fails for a connection that has been closed
	}
}

// token gives what to log in with. nats.go asks while it holds the connection's lock.
func (ln *line) token() string {
	defer supervise.Recover(ln.pool.ctx)
	if token, ok := ln.first(); ok {
		return token
	}
	c, err := ln.pool.ask(ln.link.name.id, ln.link.set)
	ln.pool.mu.Lock()
	defer ln.pool.mu.Unlock()
	switch {
	case err != nil:
		ln.fault("no_credentials", err)
		c = ln.latest
	case ln.link.line == ln && moved(ln.given, c):
		ln.replace(c)
		return ""
	}
	ln.latest, ln.offered = c, c
	return c.Token
}

// first gives the token that the line was made with, or Refresh brought since: for the first login that comes at once.
func (ln *line) first() (token string, ok bool) {
	ln.pool.mu.Lock()
	defer ln.pool.mu.Unlock()
	if !ln.fresh {
		return "", false
	}
	ln.fresh, ln.offered = false, ln.latest
	return ln.latest.Token, true
}

// moved reports whether a connection that was made with credentials cannot go on with others.
func moved(old, c *Credentials) bool {
	return !slices.Equal(old.URLs, c.URLs) || !same(old.InProcess, c.InProcess) || old.InboxPrefix != c.InboxPrefix ||
		(old.Key == nil) != (c.Key == nil) || old.Key != nil && old.Key.Public() != c.Key.Public() ||
		!sameTLS(old.TLS, c.TLS, old.Token != c.Token)
}

// same compares what need not be comparable.
func same(a, b any) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && (a == nil || reflect.TypeOf(a).Comparable() && a == b)
}

// sameTLS compares what a server is trusted by. Functions cannot be compared: where there are any, another configuration is another
// when the token is another as well.
func sameTLS(a, b *tls.Config, other bool) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || a.ServerName != b.ServerName || (a.RootCAs == nil) != (b.RootCAs == nil) || a.RootCAs != nil && !a.RootCAs.Equal(b.RootCAs) {
		return false
	}
	opaque := func(c *tls.Config) bool {
		return c.VerifyConnection != nil || c.VerifyPeerCertificate != nil || c.GetClientCertificate != nil
	}
	return !other || !opaque(a) && !opaque(b)
}
