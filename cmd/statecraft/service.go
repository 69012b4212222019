package main

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// busyPause is how long a service that is busy, or not ready, is left alone before it is asked again, where it does not say how long.
const busyPause = 250 * time.Millisecond

// deniedError is what a service of the overlay says in place of an answer.
type deniedError struct{ service, code, text string }

// Error implements error.
func (e *deniedError) Error() string { return e.text }

// isDenied reports whether a service said so with this code.
func isDenied(err error, code string) bool {
	var denied *deniedError
	return errors.As(err, &denied) && denied.code == code
}

// serviceSubject is where this client asks a service of the overlay.
func (m *member) serviceSubject(service string) string { return broker.ServiceSubject(m.key, service) }

// request asks a service of the overlay and reads its answer. One that is busy, or not ready, is asked again for as long as anybody is to wait. An error
// has its exit code and the next step; in one with which the service denies it is a deniedError. A list comes in pages: see pages.
func (m *member) request(service string, question, answer any) error {
	return m.requestAt(service, m.serviceSubject(service), question, answer)
}

// requestAt is request at another subject than the service has for all clients.
func (m *member) requestAt(service, subject string, question, answer any) error {
	data, err := m.requestDataAt(service, subject, question)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fail(exitFailed, "do this program and the cell's hosts have the same version?", "%s: the answer cannot be read: %w", asking(service), err)
	}
	return nil
}

// requestData is request, and returns the answer as it is.
func (m *member) requestData(service string, question any) ([]byte, error) {
	return m.requestDataAt(service, m.serviceSubject(service), question)
}

func (m *member) requestDataAt(service, subject string, question any) ([]byte, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	ctx, cancel := m.patience()
	defer cancel()
	for {
		msg, err := m.RequestWithContext(ctx, subject, body)
		if err != nil {
			return nil, m.unanswered(service, err)
		}
		denied := deniedBy(service, msg)
		switch {
		case denied == nil:
			return msg.Data, nil
		case denied.code != messaging.CodeBusy && denied.code != messaging.CodeNotReady:
			return nil, m.denied(denied)
		}
		if watchers.Rest(ctx, retryAfter(msg)) != nil {
			return nil, fail(exitUnreachable, "try again", "%s: %w", asking(service), denied)
		}
	}
}

// pages asks for a list page by page: ask asks for the page after what the one before ended with, "" for the first, and returns what this one ends with, "" where
// it is the last.
func pages(ask func(after string) (next string, err error)) error {
	for after := ""; ; {
		next, err := ask(after)
		if err != nil || next == "" {
			return err
		}
		if next == after {
			return fail(exitFailed, "do this program and the cell's hosts have the same version?", "a list does not go on behind %q", after)
		}
		after = next
	}
}

func asking(service string) string { return "asking the cell's service " + service }

// deniedBy is the denial that a message is, nil for an answer.
func deniedBy(service string, msg *nats.Msg) *deniedError {
	code, text := msg.Header.Get(micro.ErrorCodeHeader), msg.Header.Get(micro.ErrorHeader)
	if code == "" && text == "" {
		return nil
	}
	return &deniedError{service: service, code: code, text: text}
}

// retryAfter is how long a service wants to be left alone.
func retryAfter(msg *nats.Msg) time.Duration {
	seconds, err := strconv.Atoi(msg.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return busyPause
	}
	return min(time.Duration(seconds)*time.Second, patience)
}

// unanswered says what it means that nobody answers.
// errNoHost is the cause where nobody serves what is asked for.
var errNoHost = errors.New("no host of the cell answers")

func (m *member) unanswered(service string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) && m.ctx.Err() == nil {
		return fail(exitUnreachable, "statecraft fleet hosts says how the hosts are, statecraft states --state DIR/state on one shows its machines; hosts of an earlier release than this program have no such service",
			"%s: %w", asking(service), errNoHost)
	}
	return m.failed(asking(service), err)
}

// denied gives what a service says in place of an answer its exit code.
func (m *member) denied(err *deniedError) error {
	switch err.code {
	case messaging.CodeUnreadable, messaging.CodeTooLarge:
		return fail(exitInvalid, "", "%w", err)
	case messaging.CodeRefused:
		return fail(exitRefused, "", "%w", err)
	case messaging.CodeNotFound:
		return fail(exitFailed, "", "%w", err)
	default:
		return fail(exitFailed, "", "%w (code %s)", err, err.code)
	}
}

// hinted gives what a service has denied another next step.
func hinted(err error, hint string) error {
	var f *failure
	if errors.As(err, &f) {
		return &failure{code: f.code, hint: hint, err: f.err}
	}
	return err
}
