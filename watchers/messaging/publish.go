package messaging

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// publishSpec is the properties of a publish watcher.
type publishSpec struct {
	// Connection names the connection to send by.
	Connection string `yaml:"connection" default:"fleet"`
	// Subject is where the message goes.
	Subject watchers.Text `yaml:"subject"`
	// Body is an expression for the body: a text is sent as it is, everything else as JSON.
	Body *watchers.Formula `yaml:"body"`
	// Payload is the body as a text, in place of body.
	Payload watchers.Text `yaml:"payload"`
	// Registration announces a member of a service as Choria's gossip does, in place of subject and payload.
	Registration *registrationSpec `yaml:"registration"`
	// Headers are sent with the message.
	Headers map[string]watchers.Text `yaml:"headers"`
	// Event makes a CloudEvent of the body, with a new id and the time of the look.
	Event *eventSpec `yaml:"event"`
	// Acknowledged sends to a stream and waits until it is stored.
	Acknowledged bool `yaml:"acknowledged"`
	// TTLSeconds is how long a stream keeps the message.
	TTLSeconds int `yaml:"ttl_seconds" min:"1"`
}

// gossipType is the name under which publish does what Choria's watcher of that name does.
const gossipType = "gossip"

// Validate holds the properties against each other.
func (s *publishSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := findings{w: w}
	f.subject(s.Subject, false)
	switch {
	case s.Body != nil && !s.Payload.Empty():
		f.add("payload", CodeTogether, "leave out one of them", "body and payload are both given")
	case s.Registration != nil:
		s.checkRegistration(&f)
	case s.Subject.Empty():
		f.add("subject", CodeTogether, "say where the message goes, such as subject: orders.new", "the subject is missing")
	case w.Type == gossipType && s.Payload.Empty() && s.Body == nil:
		f.add("payload", CodeTogether, "say what is sent, such as payload: '1'", "the payload is missing")
	}
	return f.list
}

func publishType(pool *Pool) watchers.Type {
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "publish", Aliases: []string{gossipType},
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success,
					Payload: map[string]machine.ValueType{
						"subject": machine.String, "bytes": machine.Integer, "stream": machine.String, "sequence": machine.Integer, "duplicate": machine.Boolean,
					},
					Doc: "the broker has the message; with acknowledged it is stored, and stream, sequence and duplicate say where"},
				{Name: machine.OutcomeFail, Class: machine.Failure,
					Doc: "the message was not sent: there is no connection, the broker does not permit it, or no stream takes it"},
			},
		},
		Summary: "Sends a message. Written as gossip it sends every 15 seconds below the node's own subject, from where the overlay passes it on.",
	}, func(spec *publishSpec, w *machine.WatcherSpec) *watchers.Prepared {
		gossips := w.Type == gossipType
		p := &watchers.Prepared{New: func() watchers.Watcher { return &publisher{spec: spec, pool: pool, gossips: gossips} }}
		if gossips {
			p.Interval = gossipInterval
		}
		return p
	})
}

type publisher struct {
	spec    *publishSpec
	pool    *Pool
	gossips bool
}

// Check sends one message.
func (p *publisher) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	msg, err := p.message(look)
	if err != nil {
		return watchers.Failed(err)
	}
	conn, err := p.pool.Conn(look.Identity, p.spec.Connection)
	if err != nil {
		return watchers.Failed(err)
	}
	payload := map[string]any{"subject": msg.Subject, "bytes": len(msg.Data)}
	if p.spec.Acknowledged {
		err = store(ctx, conn, msg, payload)
	} else {
		err = send(ctx, conn, msg)
	}
	if err != nil {
		return watchers.Failed(fmt.Errorf("sending to %s: %w", msg.Subject, err))
	}
	rep := watchers.Report{Outcome: machine.OutcomeSuccess, Payload: payload, Message: "sent to " + msg.Subject}
	if p.gossips {
		rep.State, rep.Quiet = gossipState(look, msg), true
	}
	return rep
}

// message makes the message of a look.
func (p *publisher) message(look *watchers.Look) (*nats.Msg, error) {
	subject, err := p.subject(look)
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: subject}
	if msg.Data, err = p.body(look); err != nil {
		return nil, err
	}
	if msg.Header, err = expandHeaders(look, p.spec.Headers); err != nil {
		return nil, err
	}
	if p.spec.Registration != nil {
		for key, value := range p.spec.Registration.Annotations {
			msg.Header.Set(key, value)
		}
	}
	if p.spec.TTLSeconds > 0 {
		msg.Header.Set(nats.MsgTTLHdr, strconv.Itoa(p.spec.TTLSeconds))
	}
	return msg, nil
}

func (p *publisher) subject(look *watchers.Look) (string, error) {
	text := p.spec.Subject
	if p.spec.Registration != nil {
		text = p.spec.Registration.subject()
	}
	subject, err := expandSubject(look, text, false)
	if err == nil && p.gossips {
		subject = gossipSubject(look, subject)
	}
	return subject, err
}

func (p *publisher) body(look *watchers.Look) ([]byte, error) {
	if p.spec.Registration != nil {
		return []byte(registrationPayload), nil
	}
	var v any
	var err error
	if p.spec.Body != nil {
		v, err = p.spec.Body.Value(look, nil)
	} else if !p.spec.Payload.Empty() {
		v, err = look.Expand(p.spec.Payload)
	}
	if err != nil {
		return nil, fmt.Errorf("making the body: %w", err)
	}
	if p.spec.Event != nil {
		return p.spec.Event.wrap(look, v)
	}
	return writeBody(v)
}

func expandHeaders(look *watchers.Look, texts map[string]watchers.Text) (nats.Header, error) {
	h := nats.Header{}
	for key, text := range texts {
		value, err := look.Expand(text)
		if err != nil {
			return nil, fmt.Errorf("making the header %s: %w", key, err)
		}
		h.Set(key, value)
	}
	return h, nil
}

// send publishes and waits until the broker has read it, as only then it is known whether it may be sent.
func send(ctx context.Context, conn *nats.Conn, msg *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	_, err := within(ctx, func() (struct{}, error) {
		if err := conn.PublishMsg(msg); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, conn.FlushWithContext(ctx)
	})
	if err != nil {
		return connectionError(err)
	}
	return denied(conn, "Publish to "+strconv.Quote(msg.Subject))
}

// store publishes to a stream and adds to payload where the message is.
func store(ctx context.Context, conn *nats.Conn, msg *nats.Msg, payload map[string]any) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if msg.Header.Get(jetstream.MsgIDHeader) == "" {
		msg.Header.Set(jetstream.MsgIDHeader, uuid.NewString()) // a try whose answer was lost is stored once
	}
	ack, err := within(ctx, func() (*jetstream.PubAck, error) {
		js, err := jetstream.New(conn)
		if err != nil {
			return nil, err
		}
		return patiently(ctx, js, msg)
	})
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return errors.New("no stream takes this subject; declare one with a streams watcher")
	case err != nil:
		return connectionError(err)
	}
	payload["stream"], payload["sequence"], payload["duplicate"] = ack.Stream, int(ack.Sequence), ack.Duplicate
	return nil
}

// patiently publishes with short tries until ctx ends: what is sent to a stream that has no leader is dropped in silence.
func patiently(ctx context.Context, js jetstream.JetStream, msg *nats.Msg) (*jetstream.PubAck, error) {
	for {
		once, cancel := context.WithTimeout(ctx, tryTimeout)
		ack, err := js.PublishMsg(once, msg)
		silence := err != nil && once.Err() != nil
		cancel()
		if !silence || ctx.Err() != nil {
			return ack, err
		}
	}
}

// sendTimeout bounds how long a broker is waited for where the manifest allows more.
const sendTimeout = 30 * time.Second

// connectionError names what nats.go says of a connection that has just gone.
func connectionError(err error) error {
	for _, gone := range []error{nats.ErrReconnectBufExceeded, nats.ErrConnectionClosed, nats.ErrDisconnected, nats.ErrConnectionReconnecting} {
		if errors.Is(err, gone) {
			return fmt.Errorf("%w: %w", ErrNotConnected, err)
		}
	}
	return err
}
