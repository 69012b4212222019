package messaging

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// serviceRelay says whom a request is passed on to.
type serviceRelay struct {
	// Subject is an expression for where the request is passed on to, a text.
	Subject *watchers.Formula `yaml:"subject,required" gives:"text"`
	// Body is an expression for what is passed on: a text as it is, everything else as JSON; by default the request's body.
	Body *watchers.Formula `yaml:"body"`
	// Timeout is how long an answer may take. Where none has come by then the request is answered with an error of code 504, and with one of code 502
	// where nobody listens.
	Timeout strict.Duration `yaml:"timeout" default:"5s" min:"10ms" max:"1m"`
	// Limit is how many requests may wait for their answers at once; one beyond is answered with an error, code 429.
	Limit int `yaml:"limit" default:"1000" min:"1" max:"100000"`
	// For is an expression for whom the request is, such as message.tokens[1], a text.
	For *watchers.Formula `yaml:"for" gives:"text" empty:"refused"`
	// LimitFor is how many requests of the same may wait for their answers at once, 0 is no limit; one beyond is answered with an error, code 429.
	LimitFor int `yaml:"limit_for" empty:"refused" min:"0"`
}

// relays counts the requests of an activation that were passed on and wait for their answers. It is safe for concurrent use.
type relays struct {
	mu  sync.Mutex
	all int
	of  map[string]int // by whom they are for
}

// enter counts a request, or says why it is one too many.
func (w *relays) enter(spec *serviceRelay, whom string) (full string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case spec.LimitFor > 0 && w.of[whom] >= spec.LimitFor:
		return fmt.Sprintf("%d requests of %s wait for answers, as many as may", spec.LimitFor, diag.Brief(whom, quoted))
	case w.all >= spec.Limit:
		return fmt.Sprintf("%d requests wait for answers, as many as may", spec.Limit)
	}
	if w.of == nil {
		w.of = map[string]int{}
	}
	w.all++
	w.of[whom]++
	return ""
}

func (w *relays) leave(whom string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.of[whom]--; w.of[whom] == 0 {
		delete(w.of, whom)
	}
}

// relay passes a request on, and what is answered back to its asker: the answer's data and, of its headers, those of an error.
func (c *counter) relay(r request, message map[string]any) watchers.Report {
	spec := c.service.spec.Relay
	m, err := c.passed(spec, message)
	if err != nil {
		return c.unusable(r, "relay: "+err.Error())
	}
	conn, err := c.inlet.pool.Conn(c.inlet.look.Identity, c.inlet.from.connection)
	if err != nil {
		c.deny(r, CodeFailed, cannotServe)
		return watchers.Failed(err)
	}
	whom := ""
	if spec.For != nil {
		if whom, err = spec.For.Text(c.inlet.look.Now(), message); err != nil {
			return c.unusable(r, "relay: for: "+err.Error())
		}
	}
	if full := c.relays.enter(spec, whom); full != "" {
		busy(r, busyFor)
		return watchers.Report{Outcome: outcomeFull, Message: full, Payload: map[string]any{"key": m.Subject}}
	}
	supervise.Go(c.inlet.ctx, func() {
		defer c.relays.leave(whom)
		ctx, cancel := context.WithTimeout(c.inlet.ctx, time.Duration(spec.Timeout))
		defer cancel()
		answer, err := within(ctx, func() (*nats.Msg, error) { return conn.RequestMsgWithContext(ctx, m) })
		c.back(r, m.Subject, answer, err)
	})
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: message}
}

// passed is what is passed on.
func (c *counter) passed(spec *serviceRelay, message map[string]any) (*nats.Msg, error) {
	look := c.inlet.look.Now()
	subject, err := spec.Subject.Text(look, message)
	if err == nil {
		err = CheckSubject(subject, false)
	}
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	v := message["body"]
	if spec.Body != nil {
		if v, err = spec.Body.Value(look, message); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	data, err := writeBody(v)
	return &nats.Msg{Subject: subject, Data: data}, err
}

// back hands an answer back.
func (c *counter) back(r request, subject string, answer *nats.Msg, err error) {
	switch {
	case r.Reply() == "":
	case errors.Is(err, nats.ErrNoResponders):
		c.deny(r, CodeNobody, "nobody listens to "+subject)
	case errors.Is(err, context.DeadlineExceeded):
		c.deny(r, CodeTooLate, "no answer from "+subject+" within "+time.Duration(c.service.spec.Relay.Timeout).String())
	case c.inlet.ctx.Err() != nil:
		c.leave(r)
	case err != nil:
		c.deny(r, CodeFailed, cannotServe)
	case answer.Header.Get(micro.ErrorCodeHeader) != "" || answer.Header.Get(micro.ErrorHeader) != "":
		_ = r.Error(answer.Header.Get(micro.ErrorCodeHeader), answer.Header.Get(micro.ErrorHeader), answer.Data) // as deny
	default:
		_ = r.Respond(answer.Data)
	}
}
