package broker

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Limits bounds everything that a broker holds or waits for. There are no other defaults: zero is refused where it is not said to
// mean something.
type Limits struct {
	// Payload is the largest message, in bytes.
	Payload int
	// ControlLine is the longest protocol line, in bytes. CONNECT is one and carries a token, which has 32 KiB at most.
	ControlLine int
	// Pending is what may wait to be sent to one connection, in bytes; who reads slower is disconnected.
	Pending int64
	// Connections bounds the fleet listener, in-process connections included.
	Connections int
	// EnrollmentConnections bounds the enrollment listener by itself, so that those who join cannot keep the fleet out.
	EnrollmentConnections int
	// Subscriptions bounds what one connection subscribes. Overlay hosts have the most, and the enrollment listener's own
	// connection, which carries three for everybody who joins.
	Subscriptions int
	// SubjectTokens bounds the tokens of a subscription's subject.
	SubjectTokens int

	// PingInterval is after how long without traffic a connection is asked whether it is there; PingsMissed answers may be missing.
	PingInterval time.Duration
	PingsMissed  int
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
	// them begin in a second, after RenewBurst at once.
	RenewWithin, RenewSession time.Duration
	RenewRate                 float64
	RenewBurst                int
	// Skew is how far the clocks of who signs tokens may be ahead of the broker's.
	Skew time.Duration

	JetStream JetStreamLimits
}

// JetStreamLimits bounds JetStream on one broker. FLEET is the only account that has it, so that these are the account's, too.
type JetStreamLimits struct {
	// Memory and Store are the bytes that streams may take.
	Memory, Store int64
	// Shared is the bytes that the shares of streams are of: Store, or less where the disk has more already than it is to have. Others
	// of the cell learn it by the server's tag stream_bytes:N.
	Shared int64
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
		Pending:               64 << 20,
		Connections:           25_000,
		EnrollmentConnections: 10_000,
		Subscriptions:         100_000,
		SubjectTokens:         32,
		PingInterval:          time.Minute,
		PingsMissed:           2,
		WriteDeadline:         10 * time.Second,
		TLSTimeout:            time.Minute,
		AuthTimeout:           time.Minute,
		LameDuck:              5 * time.Second,
		JoinSession:           time.Hour,
		RenewWithin:           90 * 24 * time.Hour,
		RenewSession:          time.Minute,
		RenewRate:             50,
		RenewBurst:            200,
		Skew:                  30 * time.Second,
		JetStream: JetStreamLimits{
			Memory:        256 << 20,
			Store:         10 << 30,
			Shared:        10 << 30,
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
		{"payload", int64(l.Payload)}, {"control line", int64(l.ControlLine)}, {"pending", l.Pending},
		{"connections", int64(l.Connections)}, {"enrollment connections", int64(l.EnrollmentConnections)},
		{"subscriptions", int64(l.Subscriptions)}, {"subject tokens", int64(l.SubjectTokens)},
		{"ping interval", int64(l.PingInterval)}, {"pings missed", int64(l.PingsMissed)}, {"write deadline", int64(l.WriteDeadline)},
		{"TLS timeout", int64(l.TLSTimeout)}, {"authentication timeout", int64(l.AuthTimeout)},
		{"join session", int64(l.JoinSession)}, {"renewal", int64(l.RenewWithin)}, {"renewal session", int64(l.RenewSession)},
		{"renewal rate", int64(math.Ceil(l.RenewRate))}, {"renewal burst", int64(l.RenewBurst)},
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
	if l.LameDuck < 0 || l.Skew < 0 {
		errs = append(errs, errors.New("limits: lame duck and skew are no times"))
	}
	if js.Shared > js.Store {
		errs = append(errs, errors.New("limits: the shares of streams are of more than JetStream's store"))
	}
	if l.Payload > math.MaxInt32 || l.ControlLine > math.MaxInt32 || int64(l.Payload) > l.Pending || l.SubjectTokens > math.MaxUint8 {
		errs = append(errs, errors.New("limits: payload is to be at most pending, and it, control line and subject tokens have their own ends"))
	}
	return errors.Join(errs...)
}
