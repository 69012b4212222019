package messaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// FuzzDelivery holds that what a message becomes for formulas and records fits into a record, whatever came.
func FuzzDelivery(f *testing.F) {
	f.Add("a.b", "_INBOX.x", "Key", "value", []byte(`{"a": 1}`))
	f.Add(strings.Repeat("a.", 600), "", "", "", []byte{})
	f.Add("a", strings.Repeat("r", 2000), "K", "\x00", []byte("\xff"))
	f.Add("a", "", "K", strings.Repeat("<", 20_000), []byte(`[1e400]`))
	f.Fuzz(func(t *testing.T, subject, reply, key, value string, data []byte) {
		m, err := delivery{subject: subject, reply: reply, header: nats.Header{key: {value}}, data: data}.read(machine.MaxPayload)
		if err != nil {
			return
		}
		text, err := json.Marshal(m)
		if err != nil || len(text) > machine.MaxPayload || len(subject) > MaxSubject || len(reply) > MaxSubject {
			t.Errorf("%v: it takes %d bytes", err, len(text))
		}
	})
}

// FuzzAmbiguous holds that a body of which readers may differ is found: one that has a key twice in an object, or two that are alike but for
// case. The reading that it is held against takes one token after the other.
func FuzzAmbiguous(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"a":2}`, `{"a":{"b":1,"B":2}}`, `[{"a":1},{"a":2}]`, `{"sub\u006aect":1,"subject":2}`, `{"s":1,"\u017f":2}`, `{":":1,"\"":2}`, `{"a":"{\"b\":1,\"b\":2}"}`,
		`{"":0,"":0}`, `{"k":1,"\u212a":2}`, `1`, `"a:b"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := readBody(data)
		if _, text := v.(string); text {
			return // it is no JSON, or a text
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if twice, err := anyTwice(d); err == nil && twice && !watchers.Ambiguous(data, v) {
			t.Errorf("%s has a key twice", data)
		}
	})
}

// anyTwice reads one value and reports whether an object in it has two keys that are alike but for case.
func anyTwice(d *json.Decoder) (twice bool, err error) {
	token, err := d.Token()
	if err != nil {
		return false, err
	}
	opening, nested := token.(json.Delim)
	if !nested {
		return false, nil
	}
	var keys []string
	for d.More() {
		if opening == '{' {
			key, err := d.Token()
			if err != nil {
				return false, err
			}
			text, ok := key.(string)
			if !ok {
				return false, io.ErrUnexpectedEOF
			}
			for _, other := range keys {
				twice = twice || strings.EqualFold(other, text)
			}
			keys = append(keys, text)
		}
		inner, err := anyTwice(d)
		if err != nil {
			return false, err
		}
		twice = twice || inner
	}
	if _, err := d.Token(); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return twice, nil
}
