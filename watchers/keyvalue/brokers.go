package keyvalue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// pingSubject asks every server for the statistics of one's own account. It is open to every account, other than the questions
	// of the system account; what a connection knows of servers is addresses, of which one server may have several, or none.
	pingSubject = "$SYS.REQ.ACCOUNT.PING.STATZ"
	// pingFirst is how long the first answer is waited for, and pingQuiet how long after an answer no further one is expected.
	pingFirst = 3 * time.Second
	pingQuiet = 700 * time.Millisecond
)

// roll is the names of servers.
type roll map[string]bool

// alone reports whether a connection's broker is in no cluster: by its configuration, whichever others are up.
func alone(nc *nats.Conn) bool { return nc.ConnectedClusterName() == "" }

// callRoll returns the servers with JetStream that the connection's cluster has at the moment, its own included.
func callRoll(ctx context.Context, nc *nats.Conn) (roll, error) {
	if alone(nc) {
		return roll{nc.ConnectedServerName(): true}, nil
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("counting brokers: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails where the connection is gone, and the subscription with it
	if err := nc.PublishRequest(pingSubject, inbox, []byte(`{"include_unused":true}`)); err != nil {
		return nil, fmt.Errorf("counting brokers: %w", err)
	}
	present := roll{}
	for {
		wait := pingFirst
		if len(present) > 0 {
			wait = pingQuiet
		}
		next, cancel := context.WithTimeout(ctx, wait)
		m, err := sub.NextMsgWithContext(next)
		cancel()
		switch {
		case err == nil:
			present.note(m.Data, nc.ConnectedClusterName())
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && len(present) > 0:
			return present, nil
		default:
			return nil, fmt.Errorf("counting brokers: nobody answers on %s: %w", pingSubject, err)
		}
	}
}

// note notes a server that has answered, if it is one of the cluster that keeps streams.
func (r roll) note(answer []byte, cluster string) {
	var a struct {
		Server struct {
			Name      string `json:"name"`
			Cluster   string `json:"cluster"`
			JetStream bool   `json:"jetstream"`
		} `json:"server"`
	}
	if json.Unmarshal(answer, &a) == nil && a.Server.JetStream && a.Server.Cluster == cluster {
		r[a.Server.Name] = true
	}
}
