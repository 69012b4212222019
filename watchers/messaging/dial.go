package messaging

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	dialTimeout  = 5 * time.Second  // of TCP, for each address
	loginTimeout = 30 * time.Second // of the TLS handshake and the login; a broker that thousands come to at once needs it
	drainTimeout = 5 * time.Second
	pingEvery    = 3 * time.Second  // a broker that stands still or is cut off is taken for there for 6 to 9 s, with pingsMissed
	pingSeldom   = 15 * time.Second // the same of who is patient, for 30 to 45 s
	pingsMissed  = 2
	writeBuffer  = 16 << 10 // as much as a TLS record holds
	firstBackoff = time.Second
	mostBackoff  = time.Minute
)

// backoff is half of 1 s, 2 s, 4 s ... 1 min, and a random part of the other half.
func backoff(attempt int) time.Duration {
	longest := mostBackoff
	if attempt <= 6 {
		longest = min(longest, firstBackoff<<max(0, attempt-1))
	}
	return longest/2 + rand.N(longest/2)
}

// connect makes the nats.Conn. It returns one that goes on trying where no broker can be reached, and an error only for what trying
// again cannot mend.
func (ln *line) connect() (*nats.Conn, error) {
	c, name := ln.given, ln.link.name
	opts := []nats.Option{
		nats.Name(name.id + " " + name.name), nats.TokenHandler(ln.token), nats.IgnoreAuthErrorAbort(),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.CustomReconnectDelay(ln.wait),
		nats.ReconnectBufSize(-1), // what is published while there is no broker fails
		nats.WriteBufferSize(writeBuffer), nats.Timeout(loginTimeout), nats.DrainTimeout(drainTimeout),
		nats.PingInterval(c.pings()), nats.MaxPingsOutstanding(pingsMissed),
		nats.SetCustomDialer(dialer{ln.dial}), nats.SkipHostLookup(), // the dialer does it
		nats.ConnectHandler(ln.connected), nats.ReconnectHandler(ln.connected), nats.DisconnectErrHandler(ln.disconnected),
		nats.ReconnectErrHandler(ln.failed), nats.ErrorHandler(ln.errored), nats.ClosedHandler(ln.ended),
	}
	if c.Seldom {
		opts = append(opts, nats.UseOldRequestStyle())
	}
	if c.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	if c.Key != nil {
		opts = append(opts, nats.Nkey(c.Key.Public().NKey(), func(nonce []byte) ([]byte, error) {
			defer supervise.Recover(ln.pool.ctx)
			return c.Key.Sign(nonce), nil
		}))
	}
	if c.TLS != nil {
		opts = append(opts, nats.Secure(c.TLS))
	}
	if c.InProcess != nil {
		opts = append(opts, nats.InProcessServer(c.InProcess))
	}
	conn, err := nats.Connect(strings.Join(c.URLs, ","), opts...)
	if err != nil {
		return nil, fmt.Errorf("opening the connection %q: %w", name.name, err)
	}
	return conn, nil
}

// pings is how often a broker is asked that says nothing. One in the same process stands still with who asks it, and there is no other.
func (c *Credentials) pings() time.Duration {
	if c.Patient || c.InProcess != nil {
		return pingSeldom
	}
	return pingEvery
}

// dialer opens sockets that last no longer than its context.
type dialer struct{ ctx context.Context }

// Dial implements nats.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &socket{Conn: conn, forget: context.AfterFunc(d.ctx, func() {
		defer supervise.Recover(d.ctx)
		_ = conn.Close()
	})}, nil
}

type socket struct {
	net.Conn
	forget func() bool
}

// Close closes the socket and lets go of its dialer's context.
func (s *socket) Close() error {
	s.forget()
	return s.Conn.Close()
}
