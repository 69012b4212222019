package messaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// requestSpec is the properties of a request watcher.
type requestSpec struct {
	// Connection names the connection to ask by.
	Connection string `yaml:"connection" default:"fleet"`
	// Subject is who is asked.
	Subject watchers.Text `yaml:"subject,required"`
	// Body is an expression for the request's body: a text is sent as it is, everything else as JSON.
	Body *watchers.Formula `yaml:"body"`
	// Headers are sent with the request.
	Headers map[string]watchers.Text `yaml:"headers"`
	// Event makes a CloudEvent of the body, with the time of the look.
	Event *eventSpec `yaml:"event"`
	// Accept is a condition on the reply, which it reads as message; a reply for which it is false is rejected.
	Accept *watchers.Condition `yaml:"accept" gives:"boolean" empty:"refused"`
	// UnchangedWhen is a condition on a reply that was accepted, which it reads as message: where it is true the reply has nothing new, and a
	// poll leaves no trace.
	UnchangedWhen *watchers.Condition `yaml:"unchanged_when" gives:"boolean" empty:"refused"`
}

const (
	outcomeUnanswered = "unanswered"
	outcomeRejected   = "rejected"
	outcomeBusy       = "busy"
)

// Validate checks the subject.
func (s *requestSpec) Validate(w *machine.WatcherSpec) diag.List {
	f := findings{w: w}
	f.subject(s.Subject, false)
	return f.list
}

func requestType(pool *Pool) watchers.Type {
	return watchers.Define(watchers.Type{
		WatcherType: machine.WatcherType{
			Name: "request",
			Outcomes: []machine.Outcome{
				{Name: machine.OutcomeSuccess, Class: machine.Success, Payload: messagePayload(), Doc: "the reply"},
				{Name: machine.OutcomeFail, Class: machine.Failure,
					Doc: "there is no connection, or the reply is no text or larger than what an event may carry; no reply in time is timeout"},
				{Name: watchers.OutcomeUnchanged, Class: machine.Neutral, With: "unchanged_when", Payload: messagePayload(),
					Doc: "the reply has nothing new, as unchanged_when says"},
				{Name: outcomeUnanswered, Class: machine.Failure, Doc: "nobody listens to the subject"},
				{Name: outcomeRefused, Class: machine.Failure, Payload: map[string]machine.ValueType{"code": machine.String, "error": machine.String},
					Doc: "the reply is an error that does not pass by itself"},
				{Name: outcomeBusy, Class: machine.Failure,
					Payload: map[string]machine.ValueType{"code": machine.String, "error": machine.String, "after": machine.Integer},
					Doc: "the reply is that there is no room, or nobody to answer, at the moment (code 429 or 503), and was again whenever it was " +
						"asked within the look's time; after is the seconds that it says to wait"},
				{Name: outcomeRejected, Class: machine.Failure, With: "accept", Payload: messagePayload(), Doc: "the reply is not what accept asks for"},
			},
		},
		Summary: "Sends a request and waits for its reply.",
	}, func(spec *requestSpec, _ *machine.WatcherSpec) *watchers.Prepared {
		return &watchers.Prepared{New: func() watchers.Watcher { return &requester{spec: spec, pool: pool} }}
	})
}

type requester struct {
	spec *requestSpec
	pool *Pool
}

// Check asks once. Cancelled, it returns at once, whatever the connection is doing.
func (r *requester) Check(ctx context.Context, look *watchers.Look) watchers.Report {
	msg, err := r.message(look)
	if err != nil {
		return watchers.Failed(err)
	}
	conn, err := r.pool.Conn(look.Identity, r.spec.Connection)
	if err != nil {
		return watchers.Failed(err)
	}
	reply, err := r.ask(ctx, conn, msg)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return watchers.Report{Outcome: outcomeUnanswered, Message: "nobody listens to " + msg.Subject}
	case errors.Is(err, context.DeadlineExceeded):
		return watchers.Failure(fmt.Sprintf("no reply from %s in time", msg.Subject))
	case err != nil:
		return watchers.Failed(fmt.Errorf("asking %s: %w", msg.Subject, connectionError(err)))
	}
	return r.judge(look, reply)
}

// ask asks, and again while the reply is that there is no room and the look's time allows to wait for as long as it says.
func (r *requester) ask(ctx context.Context, conn *nats.Conn, msg *nats.Msg) (*nats.Msg, error) {
	var last *nats.Msg // it is more than that there is no reply to the next try
	for tries := 0; ; tries++ {
		reply, err := within(ctx, func() (*nats.Msg, error) { return conn.RequestMsgWithContext(ctx, msg) })
		if err != nil {
			if last != nil {
				return last, nil
			}
			return nil, err
		}
		last = reply
		after, again := Busy(reply)
		if !again || !pauseWithin(ctx, after, tries) {
			return reply, nil
		}
	}
}

func (r *requester) message(look *watchers.Look) (*nats.Msg, error) {
	subject, err := expandSubject(look, r.spec.Subject, false)
	if err != nil {
		return nil, err
	}
	v, err := r.spec.Body.Value(look, nil)
	if err != nil {
		return nil, fmt.Errorf("making the body: %w", err)
	}
	msg := &nats.Msg{Subject: subject}
	if r.spec.Event != nil {
		msg.Data, err = r.spec.Event.wrap(look, v)
	} else {
		msg.Data, err = writeBody(v)
	}
	if err != nil {
		return nil, err
	}
	msg.Header, err = expandHeaders(look, r.spec.Headers)
	return msg, err
}

// judge makes a report of a reply.
func (r *requester) judge(look *watchers.Look, reply *nats.Msg) watchers.Report {
	code, text := diag.Brief(reply.Header.Get(micro.ErrorCodeHeader), 20), diag.Brief(reply.Header.Get(micro.ErrorHeader), diag.MaxBrief)
	if after, passes := Busy(reply); passes {
		return watchers.Report{
			Outcome: outcomeBusy, Message: fmt.Sprintf("busy: %s %s; ask again after %s", code, text, after),
			Payload: map[string]any{"code": code, "error": text, "after": int(after.Seconds())},
		}
	}
	if code != "" || text != "" {
		return watchers.Report{
			Outcome: outcomeRefused, Message: fmt.Sprintf("refused: %s %s", code, text), Payload: map[string]any{"code": code, "error": text},
		}
	}
	m, err := deliveryOf(reply).read(machine.MaxPayload)
	if err != nil {
		return watchers.Failed(fmt.Errorf("the reply: %w", err))
	}
	accepted, err := r.spec.Accept.Holds(look, m)
	switch {
	case err != nil:
		return watchers.Failed(fmt.Errorf("accept: %w", err))
	case !accepted:
		return watchers.Report{Outcome: outcomeRejected, Payload: m, Message: "the reply is not what accept asks for"}
	}
	rep := watchers.Report{Outcome: machine.OutcomeSuccess, Payload: m}
	if r.spec.UnchangedWhen == nil {
		return rep
	}
	same, err := r.spec.UnchangedWhen.Holds(look, m)
	switch {
	case err != nil:
		return watchers.Failed(fmt.Errorf("unchanged_when: %w", err))
	case same:
		rep.Outcome = watchers.OutcomeUnchanged
	}
	return rep
}
