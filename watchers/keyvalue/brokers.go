package keyvalue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	all, err := census(ctx, nc)
	if err != nil {
		return nil, err
	}
	present := roll{}
	for _, b := range all {
		present[b.Name] = true
	}
	return present, nil
}

// brokerInfo is what a server tells of itself.
type brokerInfo struct {
	Name      string   `json:"name"`
	Cluster   string   `json:"cluster"`
	JetStream bool     `json:"jetstream"`
	Tags      []string `json:"tags"`
}

// keeps reports whether a server keeps streams of a cluster.
func (b *brokerInfo) keeps(cluster string) bool { return b.JetStream && b.Cluster == cluster }

// roomTag begins the tag of a server that says how many bytes its streams may take.
const roomTag = "stream_bytes:"

// room returns how many bytes the streams of a server may take, 0 where it does not say.
func (b *brokerInfo) room() int64 {
	for _, tag := range b.Tags {
		if text, ok := strings.CutPrefix(tag, roomTag); ok {
			n, err := strconv.ParseInt(text, 10, 64)
			if err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

// census asks every server with JetStream of the connection's cluster what it is.
func census(ctx context.Context, nc *nats.Conn) ([]brokerInfo, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("counting brokers: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails where the connection is gone, and the subscription with it
	if err := nc.PublishRequest(pingSubject, inbox, []byte(`{"include_unused":true}`)); err != nil {
		return nil, fmt.Errorf("counting brokers: %w", err)
	}
	var present []brokerInfo
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
			if b := readBroker(m.Data); b.keeps(nc.ConnectedClusterName()) {
				present = append(present, b)
			}
			if alone(nc) && len(present) > 0 {
				return present, nil
			}
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && len(present) > 0:
			return present, nil
		default:
			return nil, fmt.Errorf("counting brokers: nobody answers on %s: %w", pingSubject, err)
		}
	}
}

// readBroker reads an answer; one that cannot be read is of no broker with JetStream.
func readBroker(answer []byte) brokerInfo {
	var a struct {
		Server brokerInfo `json:"server"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return brokerInfo{}
	}
	return a.Server
}
