package messaging

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

const (
	outcomeForwarded = "forwarded"
	outcomeLagging   = "lagging"
	outcomeCaughtUp  = "caught_up"
)

// brokerHeaders is what headers begin with that tell the broker what to do with a message: de-duplicate it, expire it, purge others for it.
// They are their sender's own, and are not passed on.
const brokerHeaders = "nats-"

// forwarding passes messages on, one at a time and in their order.
type forwarding struct {
	spec    *subscribeSpec
	inlet   *inlet
	failing bool // it has been told that messages cannot be passed on

	putting sync.Mutex // held while a message is sent on its way, and at the end
	store   *Store     // of conn; nil before the first message
	conn    *nats.Conn // that messages go to the stream by
	full    bool       // there was no room for the last one
	ended   bool

	telling sync.Mutex
	lagging bool // it has been told that the stream does not take messages
}

func (f *forwarding) take(in *inlet, m *nats.Msg) {
	d := deliveryOf(m)
	if err := f.astray(m); err != nil {
		in.unreadable(d.subject, err) // not even an error is answered
		return
	}
	if err := in.oversized(d); err != nil {
		f.unreadable(m, err)
		return
	}
	if over := in.excess(d); over != nil {
		f.answer(m, nil, fmt.Errorf("it is %w: %s", ErrOverQuota, over.Reason))
		return
	}
	message, err := in.read(d, maxForward)
	if err != nil {
		f.unreadable(m, err)
		return
	}
	rep, ok := admits(f.spec.Where, in.look, message, d.subject)
	if !ok {
		f.answer(m, nil, fmt.Errorf("%w: %s", ErrRefused, rep.Message))
		in.tell(outcomeRefused, rep)
		return
	}
	onward, err := f.onward(d, message)
	if err != nil {
		f.unreadable(m, err)
		return
	}
	if f.spec.Forward.Acknowledged {
		err = f.put(m, onward)
	} else {
		err = f.send(onward)
	}
	if err != nil {
		f.fail(onward.Subject, err)
		return
	}
	f.failing = false
	if !f.spec.Forward.Acknowledged {
		in.tell(outcomeForwarded, watchers.Report{Payload: map[string]any{"subject": onward.Subject}})
	}
}

func (f *forwarding) unreadable(m *nats.Msg, err error) {
	f.answer(m, nil, fmt.Errorf("%w: %w", ErrRefused, err))
	f.inlet.unreadable(m.Subject, err)
}

// answer tells who sent a message what has become of it, if it asked for that.
func (f *forwarding) answer(m *nats.Msg, ack *jetstream.PubAck, err error) {
	if f.spec.Forward.Acknowledged {
		Answer(m, ack, err)
	}
}

// astray refuses a message whose answer would go where its sender could not publish.
func (f *forwarding) astray(m *nats.Msg) error {
	if !f.spec.Forward.Acknowledged || m.Reply == "" {
		return nil
	}
	prefix := AnyInbox
	if f.spec.Forward.Inbox != nil {
		var err error
		if prefix, err = f.spec.Forward.Inbox.Text(f.inlet.look, map[string]any{"subject": m.Subject, "tokens": Tokens(m.Subject)}); err != nil {
			return err
		}
	}
	return CheckReply(m, prefix)
}

// fail reports the first of the messages that cannot be passed on, and counts the others.
func (f *forwarding) fail(subject string, err error) {
	if f.failing {
		f.inlet.count(machine.OutcomeFail)
		return
	}
	f.failing = true
	f.inlet.tell(machine.OutcomeFail, watchers.Report{Message: fmt.Sprintf("passing a message on to %s: %v", subject, err)})
}

// onward makes the message that goes on.
func (f *forwarding) onward(d delivery, message map[string]any) (*nats.Msg, error) {
	to := f.spec.Forward
	subject, err := to.Subject.Text(f.inlet.look, message)
	if err != nil {
		return nil, fmt.Errorf("the subject to forward to: %w", err)
	}
	if err := CheckSubject(subject, false); err != nil {
		return nil, fmt.Errorf("the subject to forward to: %w: %q", err, diag.Brief(subject, quoted))
	}
	m := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: d.data}
	anew := f.inlet.from.fields.Declared()
	for key, values := range d.header {
		if !anew && !strings.HasPrefix(strings.ToLower(key), brokerHeaders) {
			m.Header[key] = values
		}
	}
	if to.ID != nil && to.Acknowledged {
		id, err := to.ID.Text(f.inlet.look, message)
		switch {
		case err != nil:
			return nil, fmt.Errorf("the id: %w", err)
		case len(id) > maxID:
			return nil, fmt.Errorf("the id has %d bytes, %d are allowed", len(id), maxID)
		}
		if id != "" {
			m.Header.Set(jetstream.MsgIDHeader, id)
		}
	}
	if to.Body == nil && !anew {
		return m, nil
	}
	v := message[bodyKey]
	if to.Body != nil {
		if v, err = to.Body.Value(f.inlet.look, message); err != nil {
			return nil, fmt.Errorf("the body to forward: %w", err)
		}
	}
	m.Data, err = writeBody(v)
	return m, err
}

func (f *forwarding) send(m *nats.Msg) error {
	conn, err := f.inlet.pool.Conn(f.inlet.look.Identity, f.spec.Forward.Connection)
	if err != nil {
		return err
	}
	if err := conn.PublishMsg(m); err != nil {
		return connectionError(err)
	}
	return nil
}

// maxID bounds what a sender makes the broker remember.
const maxID = 256

// stall is how long a message waits until there is room for it.
const stall = 2 * time.Second

// put sends a message on its way to a stream. The error is that of the connection.
func (f *forwarding) put(m, onward *nats.Msg) error {
	f.putting.Lock()
	defer f.putting.Unlock()
	if err := f.ready(); err != nil {
		f.answer(m, nil, err)
		return err
	}
	patience := stall
	if f.full { // there is none for the next ones either, until it shows
		patience = 0
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.inlet.ctx), patience)
	defer cancel()
	err := f.store.Put(ctx, onward, func(ack *jetstream.PubAck, err error) { f.settled(m, onward.Subject, ack, err) })
	if f.full = err != nil; f.full {
		f.settled(m, onward.Subject, nil, err)
	}
	return nil
}

// settled tells what has become of a message.
func (f *forwarding) settled(m *nats.Msg, subject string, ack *jetstream.PubAck, err error) {
	f.answer(m, ack, err)
	f.telling.Lock()
	was := f.lagging
	f.lagging = err != nil
	f.telling.Unlock()
	switch {
	case err == nil:
		f.inlet.tell(outcomeForwarded, watchers.Report{Payload: map[string]any{"subject": subject}})
		if was {
			f.inlet.tell(outcomeCaughtUp, watchers.Report{})
		}
	case was:
		f.inlet.count(outcomeLagging)
	default:
		f.inlet.tell(outcomeLagging, watchers.Report{
			Message: fmt.Sprintf("the stream does not take %s: %v", subject, err), Payload: map[string]any{"subject": subject, "reason": diag.Brief(err.Error(), diag.MaxBrief)},
		})
	}
}

// lastWords is how long the end waits for what the broker has sent, and then for what is on its way to the stream. Both together are less
// than the second that a listener has for its end.
const lastWords = 400 * time.Millisecond

// ready sees to it that there is a store, of the connection that there is now.
func (f *forwarding) ready() error {
	if f.ended {
		return errEnds
	}
	conn, err := f.inlet.pool.Conn(f.inlet.look.Identity, f.spec.Forward.Connection)
	if err != nil || conn == f.conn {
		return err
	}
	f.close()
	store, err := NewStore(f.inlet.ctx, conn, f.spec.Forward.Window)
	if err == nil {
		f.store, f.conn = store, conn
	}
	return err
}

// end gives up what is on its way after a while.
func (f *forwarding) end() {
	f.putting.Lock()
	defer f.putting.Unlock()
	f.ended = true
	f.close()
}

func (f *forwarding) close() {
	if f.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.inlet.ctx), lastWords)
	defer cancel()
	f.store.Close(ctx)
	f.store, f.conn = nil, nil
}

// drained ends a subscription when all that the broker has sent is handled, or after a while.
func drained(sub *nats.Subscription) error {
	if err := sub.Drain(); err != nil {
		return err
	}
	end := time.NewTimer(lastWords)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for sub.IsValid() { // its status says nothing of a connection that is closed meanwhile
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		}
	}
	return nil
}
