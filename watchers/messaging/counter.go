package messaging

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

// request is what a service needs of a request, whether it came by NATS's micro or by a plain subscription.
type request interface {
	Subject() string
	Reply() string
	Headers() micro.Headers
	Data() []byte
	Respond(data []byte, opts ...micro.RespondOpt) error
	Error(code, description string, data []byte, opts ...micro.RespondOpt) error
}

// counter is where a service takes requests in one activation: one at a time, in their order.
type counter struct {
	service *service
	inlet   *inlet
	nursery nursery
	relays  relays
	waiting *waitingList
}

// offer lets a request wait for its turn, or answers at once that there is no room. The library would drop it, and say nothing. Who is over a quota does not even
// wait, so that one who asks without end takes no place of the others.
func (c *counter) offer(r request) {
	d := deliveryIn(r)
	if err := c.answerable(d); err != nil {
		c.inlet.unreadable(d.subject, err) // not even an error is answered
		return
	}
	if over := c.inlet.excess(d); over != nil {
		busy(r, over.After)
		return
	}
	switch c.waiting.add(r, c.inlet.from.pending) {
	case ended:
		c.leave(r)
	case full:
		busy(r, crowdFor)
		c.crowded()
	}
}

func deliveryIn(r request) delivery {
	return delivery{subject: r.Subject(), reply: r.Reply(), header: nats.Header(r.Headers()), data: r.Data()}
}

// crowded reports how many were turned away, if that is news.
func (c *counter) crowded() {
	if away, news := c.waiting.news(); news {
		c.inlet.tell(outcomeOverflowed, watchers.Report{
			Message: fmt.Sprintf("%d requests were answered with busy: more than %d wait", away, c.inlet.from.pending),
			Payload: map[string]any{"dropped": away},
		})
	}
}

// serve answers a request, or sees to it that somebody does.
func (c *counter) serve(r request) {
	d := deliveryIn(r)
	if c.inlet.ctx.Err() != nil {
		c.leave(r)
		return
	}
	err := c.inlet.oversized(d)
	var message map[string]any
	if err == nil {
		message, err = c.inlet.read(d, machine.MaxPayload)
	}
	if err != nil {
		code := CodeUnreadable
		if errors.Is(err, errTooLarge) {
			code = CodeTooLarge
		}
		c.deny(r, code, err.Error())
		c.inlet.unreadable(d.subject, err)
		return
	}
	rep := c.take(r, message)
	c.inlet.tell(rep.Outcome, rep)
	c.crowded()
}

// leave answers a request that nobody serves any more. It says who does not: the answer may be passed on by another service, which goes on.
func (c *counter) leave(r request) {
	c.deny(r, CodeNotReady, "the service "+c.service.spec.Name+" of "+c.inlet.look.Identity+" is not offered any more")
}

// AnyInbox is what reply subjects begin with where a manifest says nothing else: NATS's own.
const AnyInbox = "_INBOX."

// answerable reports a request whose answer would be led where its asker could not publish.
func (c *counter) answerable(d delivery) error {
	if d.reply == "" || AnswerableIn(c.service.spec.Inbox, c.inlet.look, d.subject, d.reply) {
		return nil
	}
	return errAstray
}

// AnswerableIn reports whether an answer may be sent to the reply subject of a request: it begins with what the formula inbox, which sees the request's subject and
// tokens, says, or with AnyInbox where there is none. One that fails permits nothing.
func AnswerableIn(inbox *watchers.Formula, look *watchers.Look, subject, reply string) bool {
	if inbox == nil {
		return Answerable(reply, AnyInbox)
	}
	prefix, err := inbox.Text(look, map[string]any{"subject": subject, "tokens": Tokens(subject)})
	return err == nil && Answerable(reply, prefix)
}

// Answerable reports whether an answer may be sent to a reply subject: it begins as the asker's inbox does, and is no longer than a subject may
// be.
func Answerable(reply, prefix string) bool {
	return prefix != "" && strings.HasPrefix(reply, prefix) && len(reply) <= MaxSubject
}

var errAstray = errors.New("the reply subject is not the asker's inbox")

// take decides what becomes of a request and answers it, unless somebody else is to.
func (c *counter) take(r request, message map[string]any) watchers.Report {
	spec := c.service.spec
	told, reason, err := c.refuses(message)
	switch {
	case err != nil:
		return c.unusable(r, err.Error())
	case told != "":
		c.deny(r, CodeRefused, told)
		return watchers.Report{Outcome: outcomeRefused, Message: reason, Payload: map[string]any{"subject": r.Subject(), "reason": reason}}
	case spec.Spawn != nil:
		return c.spawn(r, message)
	case spec.Relay != nil:
		return c.relay(r, message)
	case spec.Reply != nil:
		return c.reply(r, message)
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: message}
}

// refuses says why a request is refused, and what of that its asker is told; both are empty where it is taken.
func (c *counter) refuses(message map[string]any) (told, reason string, err error) {
	spec, look := c.service.spec, c.inlet.look.Now()
	if spec.Refusal != nil {
		if told, err = spec.Refusal.Text(look, message); err != nil {
			return "", "", fmt.Errorf("refusal: %w", err)
		}
		told = diag.Brief(told, diag.MaxBrief)
		return told, told, nil
	}
	holds, err := spec.Where.Holds(look, message)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("where: %w", err)
	case !holds:
		return "refused", "the condition is false", nil
	}
	return "", "", nil
}

func (c *counter) reply(r request, message map[string]any) watchers.Report {
	v, err := c.service.spec.Reply.Value(c.inlet.look.Now(), message)
	var body []byte
	if err == nil {
		body, err = writeBody(v)
	}
	if err != nil {
		return c.unusable(r, "reply: "+err.Error())
	}
	if r.Reply() == "" {
		return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: message}
	}
	if err := r.Respond(body); err != nil {
		c.deny(r, CodeFailed, cannotServe)
		return watchers.Failed(fmt.Errorf("answering a request to %s: %w", r.Subject(), err))
	}
	return watchers.Report{Outcome: machine.OutcomeSuccess, Payload: message}
}

func (c *counter) spawn(r request, message map[string]any) watchers.Report {
	rep := c.nursery.start(c.inlet.ctx, c.inlet.look, message)
	switch rep.Outcome {
	case machine.OutcomeSuccess:
		rep.Payload = message
	case outcomeExists:
		c.deny(r, CodeConflict, rep.Message)
	case outcomeFull:
		busy(r, busyFor)
	default:
		c.deny(r, CodeFailed, cannotServe)
	}
	return rep
}

// cannotServe is all that who asks learns of what went wrong here.
const cannotServe = "the request cannot be served"

// unusable answers a request for which a formula has no answer.
func (c *counter) unusable(r request, reason string) watchers.Report {
	c.deny(r, CodeFailed, cannotServe)
	return unusable(r.Subject(), reason)
}

// deny answers with an error. A reply that cannot be sent is for a connection that is gone, or for nobody.
func (c *counter) deny(r request, code, text string) {
	if r.Reply() != "" {
		_ = r.Error(code, text, nil)
	}
}
