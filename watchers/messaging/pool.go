// Package messaging holds the watchers that speak over NATS - connection, publish, request, service, spawn, subscribe - and the
// pool of named connections that these and other watchers share. It knows no protocol: subjects and what is said on them are in
// manifests, but for the subject that Choria's gossip is sent below.
package messaging

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// ErrNotConnected is the cause where a named connection is not there at the moment.
var ErrNotConnected = errors.New("not connected")

var (
	errNoPool = errors.New("this program has no connections; run the machine in a node or an overlay host")
	errClosed = errors.New("the host closes its connections")
)

// Credentials say where and as whom to connect. They are asked for at every connect and reconnect.
type Credentials struct {
	URLs        []string
	InProcess   nats.InProcessConnProvider // in place of URLs
	TLS         *tls.Config                // nil is plain
	Key         *identity.Key              // signs the broker's nonce
	Token       string                     // goes into auth_token
	InboxPrefix string                     // own to the identity, such as _INBOX.n1=example
	Expires     time.Time                  // of the token; zero is never
	// Seldom is for who asks seldom: every request has an inbox of its own, instead of one for all of them that is kept, with a goroutine,
	// a source of random numbers and a subscription at the broker.
	Seldom bool
	// Patient is for a session in which a broker that stands still for half a minute does less harm than a new login: it is asked less often
	// whether it is there.
	Patient bool
}

// Source gives the credentials of a named set ("join", "node", "fleet", "enrollment", ...) to who a machine runs as. It is called
// while a connection logs in, and must not wait for one. What it returns is not changed afterwards.
type Source func(id, name string) (*Credentials, error)

// Pool holds the open connections of a host by who uses them and their name. Connections are opened and closed by connection
// watchers, or kept by Keep; every other watcher only uses them. Safe for concurrent use. A nil Pool has no connections.
type Pool struct {
	source  Source
	log     *slog.Logger
	backoff func(attempt int) time.Duration

	ctx     context.Context // supervises what belongs to no watcher: the callbacks of connections
	closing chan struct{}   // closed by Close
	work    sync.WaitGroup  // connections that are being opened or closed

	mu    sync.Mutex // of this and of everything in links; no method of nats.Conn is called under it
	links map[linkName]*link
	of    map[string]map[*link]bool // links by who uses them
}

// NewPool makes a pool. A nil source has no credentials for anybody.
func NewPool(source Source, log *slog.Logger) *Pool {
	p := &Pool{source: source, log: log, backoff: backoff, closing: make(chan struct{}), links: map[linkName]*link{}, of: map[string]map[*link]bool{}}
	p.ctx = supervise.With(context.Background(), func(panicked any, stack string) {
		log.Error("connection_panicked", "panic", fmt.Sprint(panicked), "stack", stack)
	})
	return p
}

// Conn returns the open connection of a name, or ErrNotConnected.
func (p *Pool) Conn(id, name string) (*nats.Conn, error) {
	if p == nil {
		return nil, errNoPool
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.links[linkName{id, name}]; l != nil && l.up() {
		return l.line.conn, nil
	}
	return nil, notConnected(name)
}

// Connected reports whether Conn would return a connection.
func (p *Pool) Connected(id, name string) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[linkName{id, name}]
	return l != nil && l.up()
}

func notConnected(name string) error {
	return fmt.Errorf("the connection %q is %w; it comes with a connection watcher of that name", name, ErrNotConnected)
}

// unavailable says why a connection was waited for in vain.
func unavailable(name, reason string, cause error) error {
	if reason == "" {
		return fmt.Errorf("%w: %w", notConnected(name), cause)
	}
	return fmt.Errorf("the connection %q is %w (%s): %w", name, ErrNotConnected, reason, cause)
}

// Wait returns the connection of a name as soon as it is connected; it waits until ctx ends, and then gives ErrNotConnected.
func (p *Pool) Wait(ctx context.Context, id, name string) (*nats.Conn, error) {
	if p == nil {
		return nil, errNoPool
	}
	l := p.join(id, name)
	defer p.leave(l)
	for {
		s, changed := p.standing(l)
		if s.up {
			return s.conn, nil
		}
		select {
		case <-changed:
		case <-p.closing:
			return nil, unavailable(name, s.reason, errClosed)
		case <-ctx.Done():
			return nil, unavailable(name, s.reason, ctx.Err())
		}
	}
}

// Keep opens a connection for what is not a machine, such as the host itself or a command, and keeps it until ctx or the pool ends.
// It does not wait for the broker: Wait does. The error is that of the source.
func (p *Pool) Keep(ctx context.Context, id, name string) error {
	if p == nil {
		return errNoPool
	}
	l, err := p.hold(id, name, name)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() {
		defer supervise.Recover(p.ctx)
		p.release(l)
	})
	return nil
}

// Close closes every connection, for good, and returns when they are closed.
func (p *Pool) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	if !p.closed() {
		close(p.closing)
	}
	for _, l := range p.links {
		p.end(l, false)
	}
	p.mu.Unlock()
	p.work.Wait()
}

func (p *Pool) closed() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}

// ask gets credentials; never under the lock, as the source may need its time.
func (p *Pool) ask(id, set string) (*Credentials, error) {
	if p.source == nil {
		return nil, fmt.Errorf("there are no credentials %q: %w", set, errNoPool)
	}
	c, err := p.source(id, set)
	switch {
	case err != nil:
		return nil, fmt.Errorf("getting the credentials %q of %q: %w", set, id, err)
	case c == nil || c.InProcess == nil && len(c.URLs) == 0:
		return nil, fmt.Errorf("the credentials %q of %q name no broker", set, id)
	}
	return c, nil
}
