package messaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
)

// maxForward bounds a message that is only passed on, and so need not fit into an event: the brokers' own default.
const maxForward = 1 << 20

var (
	errTooLarge = errors.New("the message is too large")
	errBinary   = errors.New("the message is no text: its body is not UTF-8")
)

// bodyKey is what a message's body is called.
const bodyKey = "body"

// messagePayload is what formulas read as message and events carry as their payload.
func messagePayload() map[string]machine.ValueType {
	return map[string]machine.ValueType{
		"subject": machine.String, "tokens": machine.Array, "reply": machine.String, "headers": machine.Object, "body": machine.Any,
	}
}

// delivery is a message as it came.
type delivery struct {
	subject, reply string
	header         nats.Header
	data           []byte
}

func deliveryOf(m *nats.Msg) delivery { return delivery{m.Subject, m.Reply, m.Header, m.Data} }

// read makes the mapping that formulas and payloads see. In JSON it takes at most limit bytes.
func (d delivery) read(limit int) (map[string]any, error) {
	if len(d.subject) > MaxSubject || len(d.reply) > MaxSubject {
		return nil, errSubjectLong
	}
	if len(d.data) > limit {
		return nil, fmt.Errorf("%w: its body has %d bytes, the limit is %d", errTooLarge, len(d.data), limit)
	}
	if !utf8.Valid(d.data) {
		return nil, errBinary
	}
	m := map[string]any{"subject": d.subject, "tokens": Tokens(d.subject), "reply": d.reply, "headers": Headers(d.header), "body": readBody(d.data)}
	if d.bound() <= limit {
		return m, nil
	}
	encoded, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	if len(encoded) > limit {
		return nil, fmt.Errorf("%w: it takes %d bytes as JSON, the limit is %d", errTooLarge, len(encoded), limit)
	}
	return m, nil
}

// bound is at least the length of the mapping's JSON: a byte takes six at most, a token three beside its text.
func (d delivery) bound() int {
	n := 100 + 9*len(d.subject) + len(d.reply) + len(d.data)
	for key, values := range d.header {
		n += len(key) + 1
		for _, v := range values {
			n += len(v)
		}
	}
	return 6 * n
}

// Tokens are the words of a subject, as formulas see them.
func Tokens(subject string) []any {
	list := make([]any, 0, strings.Count(subject, ".")+1)
	for token := range strings.SplitSeq(subject, ".") {
		list = append(list, token)
	}
	return list
}

// Headers are the headers of a message as formulas see them: the first value of each.
func Headers(h nats.Header) map[string]any {
	m := make(map[string]any, len(h))
	for key, values := range h {
		if len(values) > 0 {
			m[key] = values[0]
		}
	}
	return m
}
