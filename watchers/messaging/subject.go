package messaging

import (
	"errors"
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
)

// The codes of what the properties of these types can have wrong.
const (
	CodeSubject  diag.Code = "SC360" // a subject or queue that NATS does not take
	CodeTogether diag.Code = "SC361" // properties that do not go together, or one that the others need
	CodeName     diag.Code = "SC362" // a name that NATS does not take
)

const subjectHint = "a subject is words with dots between them, such as orders.new; in subscriptions * is any one word and > at the end any rest"

// MaxSubject bounds a subject, in bytes. Subjects are made of what others say, a broker closes the connection of whoever sends a line that is
// longer than its max_control_line (4096 by default), and a line has a reply subject and numbers beside the subject.
const MaxSubject = 1024

var (
	errSubjectLong  = fmt.Errorf("the subject is longer than %d bytes", MaxSubject)
	errSubjectEmpty = errors.New("the subject has an empty word")
	errSubjectSpace = errors.New("the subject has white space in it")
	errWildcard     = errors.New("the subject has a wildcard, and a message is sent to one subject")
	errRest         = errors.New("in the subject > is not the last word")
)

// CheckSubject holds a subject against NATS's rules and MaxSubject. Wildcards are for subscriptions.
func CheckSubject(subject string, wildcards bool) error {
	if len(subject) > MaxSubject {
		return errSubjectLong
	}
	if strings.ContainsAny(subject, " \t\r\n\f\x00") {
		return errSubjectSpace
	}
	words := strings.Split(subject, ".")
	for i, word := range words {
		switch {
		case word == "":
			return errSubjectEmpty
		case (word == "*" || word == ">") && !wildcards:
			return errWildcard
		case word == ">" && i < len(words)-1:
			return errRest
		}
	}
	return nil
}

// expandSubject fills in a subject and checks what comes of it.
func expandSubject(look *watchers.Look, text watchers.Text, wildcards bool) (string, error) {
	subject, err := look.Expand(text)
	if err != nil {
		return "", err
	}
	if err := CheckSubject(subject, wildcards); err != nil {
		return "", fmt.Errorf("%w: %q", err, diag.Brief(subject, quoted))
	}
	return subject, nil
}

func expandQueue(look *watchers.Look, text watchers.Text) (string, error) {
	queue, err := look.Expand(text)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(queue, " \t\r\n") || len(queue) > MaxSubject {
		return "", fmt.Errorf("the queue has white space in it, or more than %d bytes: %q", MaxSubject, diag.Brief(queue, quoted))
	}
	return queue, nil
}

// quoted is how much of a subject an error quotes, in bytes.
const quoted = 200

// findings collects what is wrong with the properties of a watcher.
type findings struct {
	w    *machine.WatcherSpec
	list diag.List
}

func (f *findings) add(key string, code diag.Code, hint, format string, args ...any) {
	at := f.w.Place("properties")
	if f.w.Properties != nil {
		if n := f.w.Properties.Get(key); n != nil {
			at = n.Pos
		} else if f.w.Properties.Pos.Line > 0 {
			at = f.w.Properties.Pos
		}
	}
	f.list.Add(diag.Error, code, at, hint, format, args...)
}

// fields reads the property fields.
func (f *findings) fields(fields []watchers.Field) watchers.Fields {
	read, found := watchers.CompileFields(fields, f.w.Properties.Get("fields"))
	f.list = append(f.list, found...)
	return read
}

// subject checks the property subject as far as it is known.
func (f *findings) subject(subject watchers.Text, wildcards bool) {
	text, known := subject.Literal()
	if text == "" || !known {
		return
	}
	if err := CheckSubject(text, wildcards); err != nil {
		f.add("subject", CodeSubject, subjectHint, "subject: %v", err)
	}
}

func (f *findings) queue(queue watchers.Text) {
	if text, known := queue.Literal(); known && strings.ContainsAny(text, " \t\r\n") {
		f.add("queue", CodeSubject, "give the queue a name without white space", "queue: the name has white space in it")
	}
}

// shares holds for and limit_for against each other. n is the mapping that has them.
func (f *findings) shares(n *strict.Node, whom *watchers.Formula, limit int) {
	for _, wrong := range []struct {
		is            bool
		key, hint, at string
	}{
		{whom == nil && limit > 0, "limit_for", "add for, such as message.tokens[1]", "limit_for: nothing says whom it is for"},
		{whom != nil && limit == 0, "for", "add limit_for, such as limit_for: 10, or leave for out", "for: without limit_for it bounds nothing"},
	} {
		if wrong.is {
			f.list.Add(diag.Error, CodeTogether, n.Get(wrong.key).Pos, wrong.hint, "%s", wrong.at)
		}
	}
}
