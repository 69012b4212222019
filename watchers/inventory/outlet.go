package inventory

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	ackTimeout    = 30 * time.Second // for the stream to say that it has a message
	stallTimeout  = 10 * time.Second // for the window to have room
	settleTimeout = 2 * time.Second  // for what was sent to be acknowledged at the end
)

// outputRoom is bytes for what an output has beside the message.
const outputRoom = 512

// output is what Choria's adapters write: the message as a text, and who sent it when.
type output struct {
	Protocol  string `json:"protocol"`
	Data      string `json:"data"`
	Sender    string `json:"sender"`
	Time      any    `json:"time"`
	RequestID string `json:"requestid"`
}

// outlet sends documents to a stream.
type outlet struct {
	spec  *ingestSpec
	js    jetstream.JetStream
	tally *tally
	meter *watchers.Meter // of spec.Quota
}

func newOutlet(ctx context.Context, conn *nats.Conn, spec *ingestSpec, t *tally) (*outlet, error) {
	js, err := jetstream.New(conn,
		jetstream.WithPublishAsyncMaxPending(spec.Window), jetstream.WithPublishAsyncTimeout(ackTimeout),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) {
			defer supervise.Recover(ctx)
			t.drop(fmt.Sprintf("%s: %v", m.Subject, err))
		}),
	)
	if err != nil {
		return nil, err
	}
	return &outlet{spec: spec, js: js, tally: t, meter: watchers.NewMeter(spec.Quota)}, nil
}

var errWhere = errors.New("where is false for it")

// admits refuses what is larger than a message may be, or over a quota.
func (o *outlet) admits(look *watchers.Look, m *nats.Msg) error {
	size := m.Size()
	if most := int(o.spec.MaxSize); most > 0 && size > most {
		return fmt.Errorf("it has %d bytes, the limit is %d", size, most)
	}
	if o.meter == nil {
		return nil
	}
	now := time.Now() //nolint:forbidigo // when it came: a listener has no other clock, and no state depends on it
	if over := o.meter.Take(look, m.Subject, messaging.Tokens(m.Subject), size, now); over != nil {
		return errors.New("it is over a quota: " + over.Reason)
	}
	return nil
}

// take sends one message on, and waits where the window is full.
func (o *outlet) take(look *watchers.Look, m *nats.Msg) {
	if err := o.admits(look, m); err != nil {
		o.tally.refuse(fmt.Sprintf("%s: %v", m.Subject, err))
		return
	}
	message := messageOf(m)
	holds, err := o.spec.Where.Holds(look, message)
	if err == nil && !holds {
		err = errWhere
	}
	var onward *nats.Msg
	if err == nil {
		onward, err = o.onward(look, m.Header.Get(DigestHeader), message)
	}
	if err != nil {
		o.tally.refuse(fmt.Sprintf("%s: %v", m.Subject, err))
		return
	}
	// What the stream answers is counted by the error handler, and from how many wait.
	if _, err := o.js.PublishMsgAsync(onward, jetstream.WithStallWait(stallTimeout)); err != nil {
		o.tally.withheld(fmt.Sprintf("%s: %v", onward.Subject, err))
		return
	}
	o.tally.sent.Add(1)
	o.tally.waiting.Store(int64(o.js.PublishAsyncPending()))
}

func (o *outlet) onward(look *watchers.Look, digest string, message map[string]any) (*nats.Msg, error) {
	to, err := o.spec.To.Text(look, message)
	if err != nil {
		return nil, err
	}
	if err := messaging.CheckSubject(to, false); err != nil {
		return nil, fmt.Errorf("%q is no subject for the stream: %w", diag.Brief(to, 200), err)
	}
	sender, err := o.spec.Sender.Text(look, message)
	if err != nil {
		return nil, err
	}
	now := time.Now() //nolint:forbidigo // when it came: a listener has no other clock, and nothing decides by it
	text, _ := message[bodyKey].(string)
	doc := output{Data: text, Sender: sender, RequestID: uuid.NewString()}
	doc.Protocol, doc.Time = "choria:adapters:choria_streams:output:1", now.UTC().Format(time.RFC3339Nano)
	if o.spec.Format == "jetstream" {
		doc.Protocol, doc.Time = "choria:adapters:jetstream:output:1", now.Unix()
	}
	var data bytes.Buffer
	data.Grow(len(text) + len(text)/8 + outputRoom) // quotes take a place more
	write := json.NewEncoder(&data)
	write.SetEscapeHTML(false)
	if err := write.Encode(doc); err != nil {
		return nil, err
	}
	onward := &nats.Msg{Subject: to, Data: bytes.TrimSuffix(data.Bytes(), []byte("\n"))}
	if digest != "" && len(digest) <= maxDigest {
		onward.Header = nats.Header{DigestHeader: {digest}}
	}
	return onward, nil
}

// DigestHeader carries the digest of an inventory's stable part.
const DigestHeader = "Statecraft-Inventory-Digest"

// bodyKey is what a message's body is called.
const bodyKey = "body"

// messageOf is what expressions see of a message. The body is not decoded: it goes on as it came.
func messageOf(m *nats.Msg) map[string]any {
	return map[string]any{
		"subject": m.Subject, "tokens": messaging.Tokens(m.Subject), "headers": messaging.Headers(m.Header), bodyKey: string(m.Data),
	}
}

// settle waits a moment for what was sent to be acknowledged; a context that has ended does not cut that short.
func (o *outlet) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	select {
	case <-o.js.PublishAsyncComplete():
	case <-ctx.Done():
	}
	o.tally.waiting.Store(int64(o.js.PublishAsyncPending()))
	o.tally.report()
}
