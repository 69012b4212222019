package messaging

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Later makes a request one that may be answered after its handler has returned. NATS's micro notes beside a request how it
// was answered and reads that when the handler returns, without a lock: an answer from another goroutine would be a data race. The
// answers of such a request are not in the errors that `nats micro stats` counts.
func Later(r micro.Request, conn *nats.Conn) micro.Request { return later{Request: r, conn: conn} }

type later struct {
	micro.Request
	conn *nats.Conn
}

// Respond implements micro.Request.
func (l later) Respond(data []byte, opts ...micro.RespondOpt) error {
	return l.publish(&nats.Msg{Data: data}, opts)
}

// RespondJSON implements micro.Request.
func (l later) RespondJSON(v any, opts ...micro.RespondOpt) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", micro.ErrMarshalResponse, err)
	}
	return l.Respond(data, opts...)
}

// Error implements micro.Request.
func (l later) Error(code, description string, data []byte, opts ...micro.RespondOpt) error {
	header := nats.Header{micro.ErrorHeader: []string{description}, micro.ErrorCodeHeader: []string{code}}
	return l.publish(&nats.Msg{Header: header, Data: data}, opts)
}

func (l later) publish(m *nats.Msg, opts []micro.RespondOpt) error {
	for _, change := range opts {
		change(m)
	}
	if l.Reply() == "" {
		return nats.ErrMsgNoReply
	}
	m.Subject = l.Reply()
	return l.conn.PublishMsg(m)
}
