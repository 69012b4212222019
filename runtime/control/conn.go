package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// maxConns bounds the connections that are open at once; more wait until one is closed.
const maxConns = 64

// bounded is a listener whose connections are counted and answer as this package does.
type bounded struct {
	net.Listener
	slots chan struct{}
}

func newBounded(l net.Listener) *bounded {
	return &bounded{Listener: l, slots: make(chan struct{}, maxConns)}
}

// Accept waits for a connection, and for room for it.
func (l *bounded) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.slots <- struct{}{}
	return &answering{Conn: c, leave: sync.OnceFunc(func() { <-l.slots })}, nil
}

// answering is a connection on which the answers that net/http gives by itself, to what is no request, say what to do next.
// They are plain text; ours are not.
type answering struct {
	net.Conn
	leave func() // gives the slot back, once
}

// Write implements net.Conn. net/http begins every answer with a write of its own.
func (c *answering) Write(p []byte) (int, error) {
	status, ours := answer(p)
	if ours {
		return c.Conn.Write(p)
	}
	body, err := json.Marshal(refuse(status, "send HTTP/1.1 requests, or use the statecraft command: statecraft states --help", "this is no request that can be read: %s", http.StatusText(status)))
	if err != nil {
		return 0, err
	}
	_, err = fmt.Fprintf(c.Conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), len(body)+1, body)
	return len(p), err
}

// Close implements net.Conn.
func (c *answering) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// answer reports whether what is written is not a refusal by net/http itself, and if it is, its status.
func answer(p []byte) (status int, ours bool) {
	line, rest, _ := bytes.Cut(p, []byte("\r\n"))
	var major, minor int
	if n, _ := fmt.Sscanf(string(line[:min(len(line), 12)]), "HTTP/%d.%d %d", &major, &minor, &status); n != 3 || status < 400 {
		return 0, true
	}
	return status, bytes.Contains(rest, []byte("Content-Type: application/json\r\n"))
}
