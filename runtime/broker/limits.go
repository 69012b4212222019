package broker

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Limits bounds everything that a broker holds or waits for. There are no other defaults: zero is refused where it is not said to
// mean something.
type Limits struct {
	// Payload is the largest message, in bytes.
	Payload int
	// ControlLine is the longest protocol line, in bytes. CONNECT is one and carries a token, which has 32 KiB at most.
	ControlLine int
	// Connections bounds those who have logged in at the fleet listener.
	Connections int
	// EnrollmentConnections bounds those of the enrollment listener by itself, so that those who join cannot keep the fleet out.
	EnrollmentConnections int
	// Joining is how many of them may be logged in: a connection that has logged in takes some 70 kB, one that waits less than one. Each has
	// JoinTurn while others wait for its place; a node that is on its way then comes back.
	Joining  int
	JoinTurn time.Duration
	// Greeted bounds, on each listener, the connections in their handshake or login, apart from those who have logged in.
	// Others wait for their turn, as many as there is room for beside those who have logged in, and PerAddress of one address at most: of a
	// network of 64 bits where it is one of IPv6. Those in excess are closed, the oldest first.
	Greeted, PerAddress int
	// Silence is how long a connection may say nothing when it is greeted, and Handshake how long it may be waited for until it has
	// logged in, all in all; a third of it while others wait for the place. What the broker takes itself is not counted.
	Silence, Handshake time.Duration
	// Nodes, Joiners, Clients and Services are what one session may take, by the purpose of its token; Consumers that of clients which read
	// streams, and are sent what they have asked for as fast as it can be read. All sessions of one key count together: an answer goes to each
	// subscription that its inbox matches, and waits in each session. Hosts have the most
	// subscriptions, and the enrollment listener's own connection, which carries three for everybody who joins. The newest session of a
	// node or joiner ends the oldest of too many: the node may come back before the broker knows that it was gone. One too many of a client
	// or a service is refused.
	Nodes, Joiners, Clients, Consumers, Services Quota
	// SubjectTokens bounds the tokens of a subscription's subject.
	SubjectTokens int

	// PingInterval is after how long without traffic a connection is asked whether it is there; PingsMissed answers may be missing.
	PingInterval time.Duration
	PingsMissed  int
	// RoutePing is the same between the brokers of a cell, which ask whatever the traffic: until a broker that stands still is found to
	// be gone, the others hand it their share of each queue. It is about as long as the brokers take to elect a leader without it.
	RoutePing        time.Duration
	RoutePingsMissed int
	// WriteDeadline is how long a connection may take no data that waits for it.
	WriteDeadline time.Duration
	// TLSTimeout and AuthTimeout are for the handshake and for CONNECT. A fleet that comes back at once waits for the broker's
	// processor in both: with 2 s, 6,600 of 8,000 simultaneous connects are lost.
	TLSTimeout, AuthTimeout time.Duration
	// LameDuck is the time over which Close sends clients to other brokers; 0 closes all at once.
	LameDuck time.Duration

	// JoinSession is the longest session of who has a join token.
	JoinSession time.Duration
	// RenewWithin is how long after its end a node's token may still ask for a new one, in a session of RenewSession. RenewRate of
	// them begin in a second, after RenewBurst at once; before that, RenewEachRate and RenewEachBurst of one key.
	RenewWithin, RenewSession time.Duration
	RenewRate                 float64
	RenewBurst                int
	RenewEachRate             float64
	RenewEachBurst            int
	// Skew is how far the clocks of who signs tokens may be ahead of the broker's.
	Skew time.Duration

	JetStream JetStreamLimits
}

// Quota is what one session may take of a broker.
type Quota struct {
	// Sessions is how many a key may have at once on one broker.
	Sessions int
	// Subscriptions is how many a session may have.
	Subscriptions int
	// Pending is how many bytes may wait for a session; who reads slower is disconnected.
	Pending int64
}

// JetStreamLimits bounds JetStream on one broker. The accounts FLEET and UPLINK have it; what is not said to be UPLINK's is FLEET's.
type JetStreamLimits struct {
	// Memory and Store are the bytes that streams may take.
	Memory, Store int64
	// Shared is the bytes that the shares of streams are of: Store, or less where the disk has more already than it is to have. Others
	// of the cell learn it by the server's tag stream_bytes:N.
	Shared int64
	// Uplink is the bytes that the streams of UPLINK may take, beside Store; with 0 UPLINK has no JetStream. Each stream must say how many it is to have.
	Uplink int64
	// Streams, Consumers and AckPending bound the account: streams, consumers of one stream, messages that await their
	// acknowledgement in one consumer.
	Streams, Consumers, AckPending int
	// Replicated bounds the streams and consumers with more than one replica.
	Replicated int
	// Duplicates is the longest time in which a stream may be asked to know a message again.
	Duplicates time.Duration
	// RequestBatch bounds the messages of one pull.
	RequestBatch int
	// Requests bounds the requests to the API that wait; beyond it all that wait are dropped.
	Requests int64
	// Catchup is the bytes on their way to replicas that were away.
	Catchup int64
	// Buffered and BufferedBytes bound what waits to be stored in one stream.
	Buffered      int
	BufferedBytes int64
}

// DefaultLimits suits a broker of a cell of 20,000 nodes, alone if need be.
func DefaultLimits() Limits {
	return Limits{
		Payload:               1 << 20,
		ControlLine:           64 << 10,
		Connections:           25_000,
		EnrollmentConnections: 10_000,
		Joining:               500,
		JoinTurn:              30 * time.Second,
		Greeted:               512,
		PerAddress:            8192,
		Silence:               10 * time.Second,
		Handshake:             30 * time.Second,
		Nodes:                 Quota{Sessions: 3, Subscriptions: 1000, Pending: 8 << 20},
		Joiners:               Quota{Sessions: 3, Subscriptions: 100, Pending: 2 << 20},
		Clients:               Quota{Sessions: 64, Subscriptions: 100, Pending: 8 << 20},
		Consumers:             Quota{Sessions: 4, Subscriptions: 100, Pending: 32 << 20}, // 500 documents of 64 KiB wait
		Services:              Quota{Sessions: 64, Subscriptions: 100_000, Pending: 64 << 20},
		SubjectTokens:         32,
		PingInterval:          time.Minute,
		PingsMissed:           2,
		RoutePing:             2 * time.Second,
		RoutePingsMissed:      2,
		WriteDeadline:         10 * time.Second,
		TLSTimeout:            time.Minute,
		AuthTimeout:           time.Minute,
		LameDuck:              5 * time.Second,
		JoinSession:           time.Hour,
		RenewWithin:           120 * 24 * time.Hour, // a node may be cut off for 90 days, and its token have ended when that began
		RenewSession:          time.Minute,
		RenewRate:             50,
		RenewBurst:            200,
		RenewEachRate:         0.1,
		RenewEachBurst:        5,
		Skew:                  30 * time.Second,
		JetStream: JetStreamLimits{
			Memory:        256 << 20,
			Store:         10 << 30,
			Shared:        10 << 30,
			Uplink:        1 << 30,
			Streams:       100,
			Consumers:     1000,
			AckPending:    20_000,
			Replicated:    1000,
			Duplicates:    time.Hour,
			RequestBatch:  10_000,
			Requests:      10_000,
			Catchup:       64 << 20,
			Buffered:      10_000,
			BufferedBytes: 128 << 20,
		},
	}
}

// Validate reports every limit that is missing.
func (l *Limits) Validate() error {
	js := &l.JetStream
	var errs []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"payload", int64(l.Payload)}, {"control line", int64(l.ControlLine)}, {"greeted", int64(l.Greeted)},
		{"connections of an address", int64(l.PerAddress)}, {"silence", int64(l.Silence)}, {"handshake", int64(l.Handshake)},
		{"connections", int64(l.Connections)}, {"enrollment connections", int64(l.EnrollmentConnections)},
		{"joining", int64(l.Joining)}, {"join turn", int64(l.JoinTurn)},
		{"subject tokens", int64(l.SubjectTokens)},
		{"ping interval", int64(l.PingInterval)}, {"pings missed", int64(l.PingsMissed)},
		{"ping interval of routes", int64(l.RoutePing)}, {"pings missed of routes", int64(l.RoutePingsMissed)}, {"write deadline", int64(l.WriteDeadline)},
		{"TLS timeout", int64(l.TLSTimeout)}, {"authentication timeout", int64(l.AuthTimeout)},
		{"join session", int64(l.JoinSession)}, {"renewal", int64(l.RenewWithin)}, {"renewal session", int64(l.RenewSession)},
		{"renewal rate", int64(math.Ceil(l.RenewRate))}, {"renewal burst", int64(l.RenewBurst)},
		{"renewal rate of a key", int64(math.Ceil(l.RenewEachRate))}, {"renewal burst of a key", int64(l.RenewEachBurst)},
		{"JetStream memory", js.Memory}, {"JetStream store", js.Store},
		{"JetStream's shares", js.Shared}, {"streams", int64(js.Streams)},
		{"consumers", int64(js.Consumers)}, {"pending acknowledgements", int64(js.AckPending)},
		{"replicated assets", int64(js.Replicated)}, {"duplicates", int64(js.Duplicates)},
		{"request batch", int64(js.RequestBatch)}, {"JetStream requests", js.Requests}, {"catch-up", js.Catchup},
		{"buffered messages", int64(js.Buffered)}, {"buffered bytes", js.BufferedBytes},
	} {
		if f.value <= 0 {
			errs = append(errs, fmt.Errorf("limits: %s is to be above 0; begin with the defaults", f.name))
		}
	}
	if js.Uplink < 0 {
		errs = append(errs, errors.New("limits: what leaves the cell cannot have fewer bytes than none"))
	}
	if l.LameDuck < 0 || l.Skew < 0 {
		errs = append(errs, errors.New("limits: lame duck and skew are no times"))
	}
	if js.Shared > js.Store {
		errs = append(errs, errors.New("limits: the shares of streams are of more than JetStream's store"))
	}
	if l.Payload > math.MaxInt32 || l.ControlLine > math.MaxInt32 || l.SubjectTokens > math.MaxUint8 {
		errs = append(errs, errors.New("limits: payload, control line and subject tokens have their own ends"))
	}
	for _, of := range []struct {
		name string
		Quota
	}{{"nodes", l.Nodes}, {"joiners", l.Joiners}, {"clients", l.Clients}, {"consumers", l.Consumers}, {"services", l.Services}} {
		errs = append(errs, of.validate(of.name, l.Payload))
	}
	return errors.Join(errs...)
}

func (q Quota) validate(name string, payload int) error {
	switch {
	case q.Sessions <= 0 || q.Subscriptions <= 0 || q.Subscriptions > math.MaxInt32:
		return fmt.Errorf("limits: %s: sessions and subscriptions are to be above 0; begin with the defaults", name)
	case q.Pending < int64(payload):
		return fmt.Errorf("limits: %s: pending is to be as much as payload at least, or no message of that size arrives", name)
	}
	return nil
}

// quota is what sessions of a purpose may take, and of clients that have the right events_read. The broker's own connection has none.
func (l *Limits) quota(p identity.Purpose, consumes bool) Quota {
	if p == identity.PurposeClient && consumes {
		return l.Consumers
	}
	switch p {
	case identity.PurposeNode:
		return l.Nodes
	case identity.PurposeJoin:
		return l.Joiners
	case identity.PurposeClient:
		return l.Clients
	default:
		return l.Services
	}
}

// most is the largest of what sessions may have in one respect: what the server is told, before it is known who connects.
func (l *Limits) most() Quota {
	var m Quota
	for _, q := range []Quota{l.Nodes, l.Joiners, l.Clients, l.Consumers, l.Services} {
		m.Subscriptions, m.Pending = max(m.Subscriptions, q.Subscriptions), max(m.Pending, q.Pending)
	}
	return m
}
