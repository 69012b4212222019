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
	// pingQuiet is how long after an answer no further one is expected.
	pingQuiet = 300 * time.Millisecond
)

// countBrokers returns how many servers with JetStream the connection's cluster has at the moment, itself included.
func countBrokers(ctx context.Context, nc *nats.Conn) (int, error) {
	if nc.ConnectedClusterName() == "" {
		return 1, nil
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, fmt.Errorf("counting brokers: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails where the connection is gone, and the subscription with it
	if err := nc.PublishRequest(pingSubject, inbox, []byte(`{"include_unused":true}`)); err != nil {
		return 0, fmt.Errorf("counting brokers: %w", err)
	}
	brokers := map[string]bool{}
	for {
		wait := 10 * pingQuiet
		if len(brokers) > 0 {
			wait = pingQuiet
		}
		next, cancel := context.WithTimeout(ctx, wait)
		m, err := sub.NextMsgWithContext(next)
		cancel()
		switch {
		case err == nil:
			count(brokers, m.Data, nc.ConnectedClusterName())
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && len(brokers) > 0:
			return len(brokers), nil
		default:
			return 0, fmt.Errorf("counting brokers: nobody answers on %s: %w", pingSubject, err)
		}
	}
}

// count notes a server that has answered, if it is one of the cluster that keeps streams.
func count(brokers map[string]bool, answer []byte, cluster string) {
	var a struct {
		Server struct {
			ID        string `json:"id"`
			Cluster   string `json:"cluster"`
			JetStream bool   `json:"jetstream"`
		} `json:"server"`
	}
	if json.Unmarshal(answer, &a) == nil && a.Server.JetStream && a.Server.Cluster == cluster {
		brokers[a.Server.ID] = true
	}
}
