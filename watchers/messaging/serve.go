package messaging

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// version is what NATS takes for a version, whatever Choria's manifests say.
var version = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// Offer is a service as NATS's own tools know it: nats micro ls, info and stats.
type Offer struct {
	Name, Subject, Queue string
	Look                 *watchers.Look
	Pending              int        // requests that may have come before anybody has looked at them; who is dropped then hears nothing
	Counted              func() any // what stats tell beside the number of requests; nil is nothing
}

// Serve takes requests as NATS's package micro does, whose documents it answers with, and hands each to handle, which may answer it later and from
// another goroutine. stop ends that once what has come is handled.
//
// It is not that package's own service because that one answers PING, INFO and STATS wherever the asker says, with the rights of the
// service: an answer led to a subject that a stream takes is stored there.
func Serve(ctx context.Context, conn *nats.Conn, o Offer, handle func(micro.Request)) (stop func() error, err error) {
	s := &offered{Offer: o, id: rand.Text(), started: time.Now().UTC()} //nolint:forbidigo // what stats say; no state depends on it
	endpoint, err := conn.QueueSubscribe(o.Subject, o.Queue, func(m *nats.Msg) {
		defer supervise.Recover(ctx)
		s.requests.Add(1)
		handle(received{m, conn})
	})
	if err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	subs := []*nats.Subscription{endpoint}
	undo := func(err error) (func() error, error) {
		for _, sub := range subs {
			err = errors.Join(err, sub.Unsubscribe())
		}
		return nil, err
	}
	if err := endpoint.SetPendingLimits(o.Pending, maxPendingSize); err != nil {
		return undo(err)
	}
	for _, whom := range []string{"", "." + o.Name, "." + o.Name + "." + s.id} {
		sub, err := conn.Subscribe(micro.APIPrefix+".*"+whom, func(m *nats.Msg) {
			defer supervise.Recover(ctx)
			s.tell(received{m, conn})
		})
		if err != nil {
			return undo(fmt.Errorf("subscribing: %w", err))
		}
		subs = append(subs, sub)
	}
	return func() error {
		err := endpoint.Drain()
		for _, sub := range subs[1:] {
			err = errors.Join(err, sub.Unsubscribe())
		}
		return err
	}, nil
}

// offered is a service that is there.
type offered struct {
	Offer
	id       string
	started  time.Time
	requests atomic.Int64
}

// tell answers what NATS's tools ask of every service, if the answer goes to an inbox.
func (s *offered) tell(r received) {
	if !Answerable(r.Reply(), AnyInbox) {
		return
	}
	var answer any
	switch words := strings.Split(r.Subject(), "."); words[1] {
	case micro.PingVerb.String():
		answer = micro.Ping{ServiceIdentity: s.identity(), Type: micro.PingResponseType}
	case micro.InfoVerb.String():
		answer = micro.Info{
			ServiceIdentity: s.identity(), Type: micro.InfoResponseType, Description: "watcher " + s.Look.Watcher + " of machine " + s.Look.Machine,
			Endpoints: []micro.EndpointInfo{{Name: s.Name, Subject: s.Subject, QueueGroup: s.Queue}},
		}
	case micro.StatsVerb.String():
		answer = s.stats()
	default:
		return
	}
	_ = r.RespondJSON(answer) // what cannot be sent is for a connection that is gone
}

func (s *offered) identity() micro.ServiceIdentity {
	id := micro.ServiceIdentity{
		Name: s.Name, ID: s.id, Version: "0.0.0",
		Metadata: map[string]string{"machine": s.Look.Machine, "watcher": s.Look.Watcher, "identity": s.Look.Identity},
	}
	if version.MatchString(s.Look.Version) {
		id.Version = s.Look.Version
	}
	return id
}

func (s *offered) stats() micro.Stats {
	endpoint := &micro.EndpointStats{Name: s.Name, Subject: s.Subject, QueueGroup: s.Queue, NumRequests: int(s.requests.Load())}
	if s.Counted != nil {
		endpoint.Data, _ = json.Marshal(s.Counted()) // numbers and texts
	}
	return micro.Stats{ServiceIdentity: s.identity(), Type: micro.StatsResponseType, Started: s.started, Endpoints: []*micro.EndpointStats{endpoint}}
}

// received is a request that may be answered after its handler has returned, by whatever goroutine.
type received struct {
	msg  *nats.Msg
	conn *nats.Conn
}

func (r received) Subject() string        { return r.msg.Subject }
func (r received) Reply() string          { return r.msg.Reply }
func (r received) Headers() micro.Headers { return micro.Headers(r.msg.Header) }
func (r received) Data() []byte           { return r.msg.Data }

// Respond answers.
func (r received) Respond(data []byte, opts ...micro.RespondOpt) error {
	return r.publish(&nats.Msg{Data: data}, opts)
}

// RespondJSON answers with a document.
func (r received) RespondJSON(v any, opts ...micro.RespondOpt) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", micro.ErrMarshalResponse, err)
	}
	return r.Respond(data, opts...)
}

// Error answers with the headers that micro's clients read.
func (r received) Error(code, description string, data []byte, opts ...micro.RespondOpt) error {
	header := nats.Header{micro.ErrorHeader: []string{description}, micro.ErrorCodeHeader: []string{code}}
	return r.publish(&nats.Msg{Header: header, Data: data}, opts)
}

func (r received) publish(m *nats.Msg, opts []micro.RespondOpt) error {
	for _, change := range opts {
		change(m)
	}
	if r.Reply() == "" {
		return nats.ErrMsgNoReply
	}
	m.Subject = r.Reply()
	return r.conn.PublishMsg(m)
}
