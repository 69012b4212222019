package messaging

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers/keyvalue"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	tryTimeout   = 2 * time.Second // for a stream to say that it has a message; one without a leader says nothing
	storeTimeout = 4 * time.Second // for all tries of a message. Nodes wait for 6 s, and then tell it again
	tryPause     = 250 * time.Millisecond
)

// ErrBusy is the cause where as many messages wait for a stream as may.
var ErrBusy = errors.New("as many messages wait for the stream as may")

// errNoLeader is what a stream that does not answer is taken for.
var errNoLeader = errors.New("the stream does not answer; it may have no leader at the moment")

// errStreamFull is told of a stream that has no room, until it drops or is given some.
var errStreamFull = errors.New("the stream is full, and takes nothing more until it has room: raise stream_bytes of the hosts, or its share in the machine streams")

// Store brings messages into streams by one connection. Each is tried several times within four seconds: what is sent to a stream while that
// has no leader is dropped in silence. Where messages have a Nats-Msg-Id, one that was stored although nobody heard of it is stored once.
type Store struct {
	of       context.Context // whose callbacks these are; it may have ended
	js       jetstream.JetStream
	try, all time.Duration
	room     chan struct{} // holds one for each message on its way

	mu      sync.Mutex
	flights map[*nats.Msg]*flight
	idle    chan struct{} // closed when nothing is on its way; nil while nobody asks
}

// flight is a message on its way.
type flight struct {
	until time.Time
	last  error // of the last try
	told  bool
	done  func(ack *jetstream.PubAck, err error)
}

// NewStore makes a store in which as many messages as window may be on their way, for the look that ctx belongs to. That ctx ends does not end the store.
func NewStore(ctx context.Context, conn *nats.Conn, window int) (*Store, error) {
	s := &Store{of: ctx, try: tryTimeout, all: storeTimeout, room: make(chan struct{}, window), flights: map[*nats.Msg]*flight{}}
	var err error
	s.js, err = jetstream.New(conn,
		jetstream.WithPublishAsyncMaxPending(window), jetstream.WithPublishAsyncTimeout(s.try),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, ack *jetstream.PubAck) {
			defer supervise.Recover(ctx)
			s.end(m, ack, nil)
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			defer supervise.Recover(ctx)
			s.again(m, err)
		}),
	)
	return s, err
}

// Put sends a message on its way, and waits until there is room for it: ErrBusy where that takes longer than ctx lasts. done is told once what has
// become of it, on another goroutine; it must not wait.
func (s *Store) Put(ctx context.Context, m *nats.Msg, done func(ack *jetstream.PubAck, err error)) error {
	select {
	case s.room <- struct{}{}:
	default:
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done():
			return ErrBusy
		}
	}
	s.mu.Lock()
	s.flights[m] = &flight{until: time.Now().Add(s.all), done: done} //nolint:forbidigo // how long a stream is waited for is no decision of a machine
	s.mu.Unlock()
	s.send(m)
	return nil
}

// send tries a message, unless it has been given up.
func (s *Store) send(m *nats.Msg) {
	s.mu.Lock()
	f := s.flights[m]
	gone := f == nil || f.told
	s.mu.Unlock()
	if gone {
		return
	}
	if _, err := s.js.PublishMsgAsync(m); err != nil {
		s.again(m, err)
	}
}

// again tries another time, or gives up.
func (s *Store) again(m *nats.Msg, err error) {
	switch {
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		err = errNoLeader
	case keyvalue.IsFull(err):
		err = fmt.Errorf("%w: %w", errStreamFull, err)
	}
	s.mu.Lock()
	f := s.flights[m]
	if f != nil {
		f.last = err
	}
	s.mu.Unlock()
	if f == nil {
		return
	}
	if passes(err) && !errors.Is(err, nats.ErrConnectionClosed) && time.Now().Before(f.until) { //nolint:forbidigo // as above
		time.AfterFunc(tryPause, func() {
			defer supervise.Recover(s.of)
			s.send(m)
		})
		return
	}
	s.end(m, nil, err)
}

// The codes of what a stream says while it changes its leader, from nats-server's errors.json.
const (
	apiNotAvailable jetstream.ErrorCode = 10008 // JetStream system temporarily unavailable
	apiNotLeader    jetstream.ErrorCode = 10009 // JetStream cluster can not handle request
	apiInProcess    jetstream.ErrorCode = 10158 // duplicate message id is in process
)

// passes reports what may be otherwise at the next try: silence, or an answer that tells of a stream without a leader.
func passes(err error) bool {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) {
		return true
	}
	return refused.ErrorCode == apiNotAvailable || refused.ErrorCode == apiNotLeader || refused.ErrorCode == apiInProcess
}

// end tells of a message once, and makes room.
func (s *Store) end(m *nats.Msg, ack *jetstream.PubAck, err error) {
	s.mu.Lock()
	f := s.flights[m]
	if f == nil || f.told {
		s.mu.Unlock()
		return
	}
	f.told = true
	s.mu.Unlock()
	f.done(ack, err)
	s.mu.Lock()
	delete(s.flights, m)
	if len(s.flights) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	s.mu.Unlock()
	<-s.room
}

// Waiting is how many messages are on their way.
func (s *Store) Waiting() int { return len(s.room) }

// Close waits until nothing is on its way, or ctx ends: what is on its way then is given up, and whoever waits for it is told.
func (s *Store) Close(ctx context.Context) {
	s.mu.Lock()
	idle := make(chan struct{})
	if len(s.flights) == 0 {
		close(idle)
	} else {
		s.idle = idle
	}
	s.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	s.mu.Lock()
	left := maps.Clone(s.flights)
	s.mu.Unlock()
	for m, f := range left {
		s.end(m, nil, cmp.Or(f.last, errEnds))
	}
	s.js.CleanupPublisher()
}

var errEnds = errors.New("this host takes nothing more in, and the stream has not said yet that it has the message")

// Answer tells who sent a message, where it asked to be told, what has become of it: the stream's acknowledgement as JSON (stream, seq, duplicate), or
// an error as services give it, with a code: 503 or 429 where telling it again may help, 400 where it does not. An answer that cannot be sent is for nobody.
func Answer(m *nats.Msg, ack *jetstream.PubAck, err error) {
	if m.Reply == "" {
		return
	}
	if err == nil {
		text, _ := json.Marshal(ack) // it has texts and numbers only
		_ = m.Respond(text)
		return
	}
	code := CodeNotReady
	if errors.Is(err, ErrOverQuota) || errors.Is(err, ErrBusy) {
		code = CodeBusy
	}
	var refused *jetstream.APIError
	if errors.Is(err, ErrRefused) || errors.As(err, &refused) && refused.Code < 500 {
		code = CodeUnreadable
	}
	header := nats.Header{micro.ErrorHeader: []string{oneLine(err.Error())}, micro.ErrorCodeHeader: []string{code}}
	_ = m.RespondMsg(&nats.Msg{Header: header})
}

// ErrOverQuota is the cause where a sender tells more than it may at the moment.
var ErrOverQuota = errors.New("over a quota")

// ErrRefused is the cause where a message is not to be stored, however often it is told.
var ErrRefused = errors.New("it is refused")

// oneLine cuts an error to what a header may have.
func oneLine(text string) string {
	const most = 300
	text = diag.Brief(text, most)
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
}

// CheckReply refuses a message whose answer would be led where its sender could not publish; prefix is what the inboxes of that one begin with. One
// that wants no answer is fine.
func CheckReply(m *nats.Msg, prefix string) error {
	if m.Reply == "" || prefix != "" && strings.HasPrefix(m.Reply, prefix) {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrRefused, errAstray)
}
