package control

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
)

// peer is who is at the other end of a connection.
type peer struct {
	uid uint32
	err error // the kernel did not say
}

type peerKey struct{}

// withPeer remembers who opened a connection, for all of its requests.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	p := peer{err: fmt.Errorf("a connection of type %T has no credentials", c)}
	if w, ok := c.(*answering); ok {
		c = w.Conn
	}
	if u, ok := c.(*net.UnixConn); ok {
		p.uid, p.err = peerUID(u)
	}
	return context.WithValue(ctx, peerKey{}, p)
}

// admit lets in root and the user that the host runs as. The socket's mode says the same; a mode is easily changed.
func admit(r *http.Request) *Error {
	const hint = "run the command as the user that the host runs as, or as root"
	p, ok := r.Context().Value(peerKey{}).(peer)
	switch {
	case !ok:
		return refuse(http.StatusForbidden, hint, "the connection does not say whose it is")
	case p.err != nil:
		return refuse(http.StatusForbidden, hint, "asking the kernel who connected: %v", p.err)
	case p.uid != 0 && int(p.uid) != os.Geteuid():
		return refuse(http.StatusForbidden, hint, "user %s may not speak to this host", p.name())
	}
	return nil
}

// name is the user's name, or "uid:" and the number where there is none.
func (p peer) name() string {
	id := strconv.FormatUint(uint64(p.uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return "uid:" + id
	}
	return u.Username
}
