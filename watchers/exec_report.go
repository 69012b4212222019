package watchers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers/sandbox"
)

const (
	maxPayloadOutput = 4 << 10 // bytes of a stream's end that the event carries
	maxDataKeys      = 10_000
)

// failed reports a command that was not started.
func (e *execWatcher) failed(err error) Report {
	r := Failed(err)
	if r.Outcome == machine.OutcomeFail {
		r.Payload = execPayload(sandbox.Result{ExitCode: -1}, r.Outcome)
	}
	r.State = e.state(r.Outcome, 0)
	return r
}

// report turns the end of a run into an outcome.
func (e *execWatcher) report(result sandbox.Result, err error) Report {
	r := e.outcome(result, err)
	if (r.Outcome == machine.OutcomeSuccess || r.Outcome == machine.OutcomeFail) && r.Payload == nil {
		r.Payload = execPayload(result, r.Outcome)
	}
	r.State = e.state(r.Outcome, result.Duration)
	r.Quiet = r.Outcome == machine.OutcomeSuccess && e.spec.SuppressSuccessAnnounce
	return r
}

func (e *execWatcher) outcome(result sandbox.Result, err error) Report {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Report{
			Outcome: machine.OutcomeTimeout,
			Message: fmt.Sprintf("the command did not end within %s and was killed", result.Duration.Round(10*time.Millisecond)),
		}
	case errors.Is(err, context.Canceled) && e.spec.Disown:
		return Failure("the command was left running, as it is disowned")
	case errors.Is(err, context.Canceled):
		return Failure("the command was cancelled")
	case err != nil:
		return Failed(err)
	case result.ExitCode != 0:
		return Failure(complaint(result))
	case e.spec.ParseAsData, e.spec.ParseOutput:
		return e.parsed(result)
	}
	return Success()
}

// parsed is the report of a command whose output is a JSON object, or should be.
func (e *execWatcher) parsed(result sandbox.Result) Report {
	object, err := e.parseObject(result)
	if err != nil {
		return Failure("reading the output as " + e.parsedAs() + ": " + err.Error())
	}
	r := Success()
	if e.spec.ParseAsData {
		r.Data = object
	}
	if e.spec.ParseOutput {
		r.Payload = execPayload(result, r.Outcome)
		r.Payload["output"], r.Payload["truncated"] = object, false
		if text, err := json.Marshal(r.Payload); err != nil || len(text) > machine.MaxPayload {
			return Failure(fmt.Sprintf("the output is too large: with it the event takes %d bytes, more than %s; let the command say less",
				len(text), sizeText(machine.MaxPayload)))
		}
	}
	return r
}

func (e *execWatcher) parsedAs() string {
	if e.spec.ParseAsData {
		return "data"
	}
	return "a JSON object"
}

func (e *execWatcher) parseObject(result sandbox.Result) (map[string]any, error) {
	if result.Truncated {
		return nil, fmt.Errorf("there is more than the output_limit of %s", sizeText(uint64(e.spec.outputLimit)))
	}
	data, err := decodeKeys(result.Stdout)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("it ends too early")
	}
	if err != nil {
		return nil, placed(result.Stdout, err)
	}
	return data, nil
}

// placed gives an error in JSON its place.
func placed(text []byte, err error) error {
	var whole json.RawMessage
	var wrong *json.SyntaxError
	if !errors.As(err, &wrong) || !errors.As(json.Unmarshal(text, &whole), &wrong) || wrong.Offset < 1 {
		return err
	}
	before := text[:min(len(text), int(wrong.Offset)-1)]
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Errorf("line %d, column %d: %w", bytes.Count(before, []byte("\n"))+1, column, err)
}

// decodeKeys reads one JSON object key by key, so that too many of them are refused before they are all in
// memory.
func decodeKeys(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	opening, err := d.Token()
	if err != nil || opening != json.Delim('{') {
		return nil, errors.New("it is not a JSON object, such as {\"key\": \"value\"}")
	}
	data := map[string]any{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if n := notFinite(value); n != "" {
			return nil, fmt.Errorf("%q has the number %s, which is larger than a number can be; print it as a text", key, n)
		}
		data[key.(string)] = plainNumbers(value)
		if len(data) > maxDataKeys {
			return nil, fmt.Errorf("there are more than %d keys", maxDataKeys)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON object")
	}
	return data, nil
}

// notFinite returns a number that is beyond every float64, "" where there is none.
func notFinite(v any) string {
	switch v := v.(type) {
	case json.Number:
		if _, err := v.Float64(); err != nil {
			return v.String()
		}
	case map[string]any:
		for _, inner := range v {
			if n := notFinite(inner); n != "" {
				return n
			}
		}
	case []any:
		for _, inner := range v {
			if n := notFinite(inner); n != "" {
				return n
			}
		}
	}
	return ""
}

func execPayload(result sandbox.Result, outcome string) map[string]any {
	output := tail(result.Stdout)
	payload := map[string]any{
		"exit_code":   result.ExitCode,
		"duration_ms": int(result.Duration.Milliseconds()),
		"output":      clean(string(output)),
		"truncated":   result.Truncated || len(output) < len(result.Stdout),
	}
	if outcome == machine.OutcomeFail {
		payload["stderr"] = clean(string(tail(result.Stderr)))
	}
	return payload
}

// tail is the end of a stream, as much as the event carries of it, beginning with a whole character.
func tail(stream []byte) []byte {
	cut := len(stream) - maxPayloadOutput
	if cut <= 0 {
		return stream
	}
	stream = stream[cut:]
	for len(stream) > 0 && !utf8.RuneStart(stream[0]) {
		stream = stream[1:]
	}
	return stream
}

// state is the data of Choria's exec state event.
func (e *execWatcher) state(outcome string, took time.Duration) map[string]any {
	word := "error"
	if outcome == machine.OutcomeSuccess {
		word = "success"
	}
	return map[string]any{"command": e.spec.Command.String(), "previous_outcome": word, "previous_run_time": took.Nanoseconds()}
}

// complaint is how a command ended, and the last thing that it said: on the standard error stream or, where it said nothing there, on its output.
func complaint(result sandbox.Result) string {
	text := fmt.Sprintf("exit code %d", result.ExitCode)
	if result.ExitCode > 128 && result.ExitCode < 128+65 {
		text += fmt.Sprintf(" (%s)", syscall.Signal(result.ExitCode-128))
	}
	for _, stream := range [][]byte{result.Stderr, result.Stdout} {
		if said := lastLine(stream); said != "" {
			return text + ": " + said
		}
	}
	return text
}

// lastLine is the last line of a stream that has something in it, of what the event carries of the stream.
func lastLine(stream []byte) string {
	stream = bytes.TrimSpace(tail(stream))
	return strings.TrimSpace(clean(string(stream[bytes.LastIndexAny(stream, "\r\n")+1:])))
}

// clean makes bytes of any origin text that can be stored.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
