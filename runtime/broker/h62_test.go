package broker

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

// meddler hands out a broker's connections, and can say something in its place.
type meddler struct {
	nats.InProcessConnProvider

	mu    sync.Mutex
	conns []*meddled
}

type meddled struct {
	net.Conn
	says chan string
	part chan []byte
}

// InProcessConn implements nats.InProcessConnProvider.
func (m *meddler) InProcessConn() (net.Conn, error) {
	conn, err := m.InProcessConnProvider.InProcessConn()
	if err != nil {
		return nil, err
	}
	c := &meddled{Conn: conn, says: make(chan string, 1), part: make(chan []byte, 1024)}
	go func() {
		defer close(c.part)
		for {
			buffer := make([]byte, 32<<10)
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			c.part <- buffer[:n]
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns = append(m.conns, c)
	return c, nil
}

// Read is what the broker says, or the meddler.
func (c *meddled) Read(into []byte) (int, error) {
	select {
	case text := <-c.says:
		return copy(into, text), nil
	case part, open := <-c.part:
		if !open {
			return 0, net.ErrClosed
		}
		return copy(into, part), nil
	}
}

func (m *meddler) opened() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.conns)
}

// TestH62RevocationsAreFollowedByAnotherConnection has nats.go close the connection that revocations come by, for good. What is revoked
// afterwards is banned.
func TestH62RevocationsAreFollowedByAnotherConnection(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t)
	m := &meddler{InProcessConnProvider: b.Provider()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.followFrom(ctx, m) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	kv := bucketOf(t, o, b, 1)
	put(t, kv, Revocation{Kind: RevokedToken, Value: "before"})
	await(t, "the first ban", func() bool { return b.knowledge.Revoked.Ban(Bearer{TokenID: "before"}) })
	m.conns[0].says <- "-ERR 'no particular reason'\r\n"
	await(t, "another connection", func() bool { return m.opened() > 1 })
	put(t, kv, Revocation{Kind: RevokedToken, Value: "after"})
	await(t, "the ban afterwards", func() bool { return b.knowledge.Revoked.Ban(Bearer{TokenID: "after"}) })
}
