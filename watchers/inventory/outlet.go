package inventory

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
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
)

const (
	stallTimeout  = 2 * time.Second // for the window to have room
	settleTimeout = 2 * time.Second // for what was sent to be acknowledged at the end
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

// outlet sends documents to a stream, and tells who sent them what has become of each.
type outlet struct {
	spec  *ingestSpec
	store *messaging.Store
	tally *tally
	meter *watchers.Meter // of spec.Quota
	full  bool            // there was no room for the last one
}

func newOutlet(ctx context.Context, conn *nats.Conn, spec *ingestSpec, t *tally) (*outlet, error) {
	store, err := messaging.NewStore(ctx, conn, spec.Window)
	if err != nil {
		return nil, err
	}
	return &outlet{spec: spec, store: store, tally: t, meter: watchers.NewMeter(spec.Quota)}, nil
}

var errWhere = errors.New("where is false for it")

// admits refuses what is larger than a message may be, or over a quota: that may be told again later.
func (o *outlet) admits(look *watchers.Look, m *nats.Msg) error {
	size := m.Size()
	if most := int(o.spec.MaxSize); most > 0 && size > most {
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", messaging.ErrRefused, size, most)
	}
	if o.meter == nil {
		return nil
	}
	now := time.Now() //nolint:forbidigo // when it came: a listener has no other clock, and no state depends on it
	if over := o.meter.Take(look, m.Subject, messaging.Tokens(m.Subject), size, now); over != nil {
		return fmt.Errorf("it is %w: %s", messaging.ErrOverQuota, over.Reason)
	}
	return nil
}

// take sends one message on, and waits where the window is full.
func (o *outlet) take(look *watchers.Look, m *nats.Msg) {
	if err := o.astray(look, m); err != nil {
		o.tally.refuse(fmt.Sprintf("%s: %v", m.Subject, err))
		return
	}
	if err := o.admits(look, m); err != nil {
		o.tally.refuse(fmt.Sprintf("%s: %v", m.Subject, err))
		messaging.Answer(m, nil, err)
		return
	}
	message := messageOf(m)
	onward, err := o.read(look, m, message)
	if err != nil {
		o.tally.refuse(fmt.Sprintf("%s: %v", m.Subject, err))
		messaging.Answer(m, nil, fmt.Errorf("%w: %w", messaging.ErrRefused, err))
		return
	}
	o.put(m, onward)
}

// put sends a message on its way. Where there was no room within a while there is none for the next ones either, until it shows.
func (o *outlet) put(m, onward *nats.Msg) {
	patience := stallTimeout
	if o.full {
		patience = 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o.tally.goes()
	err := o.store.Put(ctx, onward, func(ack *jetstream.PubAck, err error) {
		o.tally.settled(onward.Subject, err)
		messaging.Answer(m, ack, err)
	})
	o.full = err != nil
	if err != nil {
		o.tally.settled(onward.Subject, err)
		messaging.Answer(m, nil, err)
	}
}

// astray refuses a message whose answer would go where its sender could not publish.
func (o *outlet) astray(look *watchers.Look, m *nats.Msg) error {
	if m.Reply == "" {
		return nil
	}
	if o.spec.Inbox == nil {
		return messaging.CheckReply(m, messaging.AnyInbox)
	}
	prefix, err := o.spec.Inbox.Text(look, map[string]any{"subject": m.Subject, "tokens": messaging.Tokens(m.Subject)})
	return errors.Join(err, messaging.CheckReply(m, prefix))
}

// read makes of a message what goes into the stream.
func (o *outlet) read(look *watchers.Look, m *nats.Msg, message map[string]any) (*nats.Msg, error) {
	if err := o.anew(message); err != nil {
		return nil, err
	}
	holds, err := o.spec.Where.Holds(look, message)
	if err == nil && !holds {
		err = errWhere
	}
	if err != nil {
		return nil, err
	}
	return o.onward(look, m.Header.Get(DigestHeader), message)
}

// maxDepth is how deep a body may nest whose fields are declared.
const maxDepth = 60

// anew writes the body of a message anew of the fields that are declared.
func (o *outlet) anew(message map[string]any) error {
	if !o.spec.fields.Declared() {
		return nil
	}
	given, _ := message[bodyKey].(string)
	body, err := watchers.ReadJSONText(given, maxDepth)
	if err != nil {
		return err
	}
	if err := watchers.AlikeButForCase([]byte(given), body); err != nil {
		return err
	}
	if body, err = o.spec.fields.Read(body); err != nil {
		return err
	}
	message[bodyKey], err = watchers.WriteJSON(body)
	return err
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
	onward := &nats.Msg{Subject: to, Data: bytes.TrimSuffix(data.Bytes(), []byte("\n")), Header: nats.Header{}}
	id, err := o.id(look, message)
	if err != nil {
		return nil, err
	}
	onward.Header[jetstream.MsgIDHeader] = []string{cmp.Or(id, doc.RequestID)}
	if _, err := hex.DecodeString(digest); err == nil && digest != "" && len(digest) <= maxDigest {
		onward.Header[DigestHeader] = []string{digest}
	}
	return onward, nil
}

// maxID bounds what a sender makes the broker remember.
const maxID = 256

// id is what a message is known by that is told again, "" where its sender does not say.
func (o *outlet) id(look *watchers.Look, message map[string]any) (string, error) {
	if o.spec.ID == nil {
		return "", nil
	}
	id, err := o.spec.ID.Text(look, message)
	switch {
	case err != nil:
		return "", fmt.Errorf("its id: %w", err)
	case len(id) > maxID:
		return "", fmt.Errorf("its id has %d bytes, %d are allowed", len(id), maxID)
	}
	return id, nil
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
	o.store.Close(ctx)
	o.tally.report()
}
