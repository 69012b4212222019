package messaging

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
)

const outcomeForwarded = "forwarded"

// brokerHeaders is what headers begin with that tell the broker what to do with a message: de-duplicate it, expire it, purge others for it.
// They are their sender's own, and are not passed on.
const brokerHeaders = "nats-"

// forwarding passes messages on, one at a time and in their order.
type forwarding struct {
	spec    *subscribeSpec
	inlet   *inlet
	failing bool // it has been told that messages cannot be passed on
}

func (f *forwarding) take(in *inlet, m *nats.Msg) {
	d := deliveryOf(m)
	message, err := d.read(maxForward)
	if err != nil {
		in.unreadable(d.subject, err)
		return
	}
	rep, ok := admits(f.spec.Where, in.look, message, d.subject)
	if !ok {
		in.tell(outcomeRefused, rep)
		return
	}
	if f.spec.Where != nil && f.spec.Forward.Body == nil && ambiguous(d.data, message["body"]) {
		in.unreadable(d.subject, errAmbiguous)
		return
	}
	onward, err := f.onward(d, message)
	if err != nil {
		in.unreadable(d.subject, err)
		return
	}
	if err := f.send(onward); err != nil {
		f.fail(onward.Subject, err)
		return
	}
	f.failing = false
	in.tell(outcomeForwarded, watchers.Report{Payload: map[string]any{"subject": onward.Subject}})
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
	for key, values := range d.header {
		if !strings.HasPrefix(strings.ToLower(key), brokerHeaders) {
			m.Header[key] = values
		}
	}
	if to.Body == nil {
		return m, nil
	}
	v, err := to.Body.Value(f.inlet.look, message)
	if err != nil {
		return nil, fmt.Errorf("the body to forward: %w", err)
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
