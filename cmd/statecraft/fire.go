package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/control"
)

// fireVerb fires an event at a machine of a running host.
type fireVerb struct {
	stateFlags
	Payload string   `placeholder:"JSON" help:"What the event carries, a JSON object, or - for one on standard input: every user of this system can read a command line."`
	Machine string   `arg:"" help:"The machine."`
	Event   string   `arg:"" help:"The event, the name of one of its transitions."`
	Fields  []string `arg:"" optional:"" name:"key=value" help:"Fields of the payload. Values that are JSON are taken as such, others are text."`
}

// Run prints the record of the event, and fails where the machine could not take it.
func (v *fireVerb) Run(inv *invocation) error {
	payload, err := v.payload(inv)
	if err != nil {
		return err
	}
	dir, err := v.host()
	if err != nil {
		return err
	}
	client := control.NewClient(dir)
	defer client.Close()
	a, err := client.Fire(inv.ctx, v.Machine, control.FireRequest{Event: v.Event, Payload: payload})
	if err != nil {
		return hostError(err, dir)
	}
	r, err := machine.DecodeRecord(a.Record)
	if err != nil {
		return fail(exitFailed, "the host is of another release; use its statecraft", "reading the answer of the host: %w", err)
	}
	if inv.json {
		if err := inv.printJSON(a); err != nil {
			return err
		}
	} else {
		inv.printf("%s\n", machine.Transcript(r))
	}
	return v.outcome(inv, a, r)
}

// outcome says what the record means where it is not what was asked for.
func (v *fireVerb) outcome(inv *invocation, a control.FireAnswer, r *machine.Record) error {
	if r.Kind == machine.RecordRefused {
		hint := "state " + r.From + " takes no event"
		if len(a.Takes) > 0 {
			hint = "state " + r.From + " takes: " + strings.Join(a.Takes, ", ")
		}
		if near := strict.Nearest(v.Event, a.Takes); near != "" && near != v.Event {
			hint = "did you mean " + near + "? " + hint
		}
		return fail(exitFailed, hint, "%s refused %s: %s", v.Machine, v.Event, printable(r.Reason))
	}
	if !a.Durable && !a.Volatile {
		inv.notef("the host's log cannot be written at the moment: the record would not survive a restart; statecraft states says why")
	}
	return nil
}

// maxPayloadInput bounds what is read of standard input, in bytes: more than an event carries.
const maxPayloadInput = 1 << 20

// payload reads what the event carries, nil for nothing.
func (v *fireVerb) payload(inv *invocation) (map[string]any, error) {
	if v.Payload != "" && len(v.Fields) > 0 {
		return nil, usage("put the fields into the JSON object", "the payload is given twice, by --payload and by key=value")
	}
	if v.Payload != "" {
		text := v.Payload
		if text == "-" {
			data, err := io.ReadAll(io.LimitReader(inv.stdin, maxPayloadInput+1))
			switch {
			case err != nil:
				return nil, fail(exitFailed, "", "reading the payload from standard input: %w", err)
			case len(data) > maxPayloadInput:
				return nil, usage("an event carries at most 64 KiB", "the payload on standard input has more than %d bytes", maxPayloadInput)
			}
			text = string(data)
		}
		value, err := jsonValue(text)
		object, ok := value.(map[string]any)
		if err != nil || !ok {
			return nil, usage(`write an object, such as --payload '{"count": 3}'`, "the payload is not a JSON object")
		}
		return object, nil
	}
	var fields map[string]any
	for _, field := range v.Fields {
		key, text, ok := strings.Cut(field, "=")
		if !ok || key == "" {
			return nil, usage("write key=value, or use --payload", "%q is no field of a payload", field)
		}
		if _, twice := fields[key]; twice {
			return nil, usage("name every field once", "the field %q is given twice", key)
		}
		if fields == nil {
			fields = map[string]any{}
		}
		value, err := jsonValue(text)
		if err != nil {
			value = text
		}
		fields[key] = value
	}
	return fields, nil
}

// jsonValue reads one JSON value, numbers as they were written.
func jsonValue(text string) (value any, err error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return value, nil
}
