package watchers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
)

// Expand runs a template of COMPAT's kind (lookup, Title, Capitalize, ToLower, ToUpper, StringJoin,
// Base64Encode, Base64Decode) over the look's facts and data. Errors say which template and why. A value that
// is missing or null is lookup's second argument, or the empty text.
func (l *Look) Expand(text string) (string, error) {
	out := ""
	t, err := l.Templates.parse(text)
	if err == nil {
		out, err = t.Expand(l.lookup)
	}
	if err != nil {
		return "", fmt.Errorf("%q: %w", brief(text), err)
	}
	return out, nil
}

// Templates remembers the templates of one program that have been read, so that each is read once. Safe for concurrent use; a nil one
// remembers nothing.
type Templates struct{ known sync.Map }

func (c *Templates) parse(text string) (*machine.Template, error) {
	if c == nil || !strings.Contains(text, "{{") {
		return machine.ParseTemplate(text)
	}
	if t, ok := c.known.Load(text); ok {
		return t.(*machine.Template), nil
	}
	t, err := machine.ParseTemplate(text)
	if err == nil {
		c.known.Store(text, t)
	}
	return t, err
}

// ExpandWords splits a command into words as a shell would (quotes and backslashes, nothing else), and
// expands each word after the split, so that a value is always one argument. A command without a word is an error, and so is one of which a
// program would run what a template gives, or take it for an option; input says that its standard input has a value, too.
func (l *Look) ExpandWords(command string, input bool) ([]string, error) {
	templates, err := splitWords(command)
	if err != nil {
		return nil, err
	}
	if len(templates) == 0 {
		return nil, errNoWords
	}
	words := make([]string, len(templates))
	for i, word := range templates {
		if words[i], err = l.Expand(word); err != nil {
			return nil, err
		}
	}
	if err := interpreted(templates, words, input); err != nil {
		return nil, fmt.Errorf("%w; %s", err, interpretedHint)
	}
	if err := option(templates, words); err != nil {
		return nil, fmt.Errorf("%w; %s", err, optionHint)
	}
	return words, nil
}

// lookup finds facts.PATH, data.PATH and input.PATH, and the look's identity, machine, instance and state.
func (l *Look) lookup(path string, fallback any) any {
	if fallback == nil {
		fallback = ""
	}
	var v any
	switch root, rest, _ := strings.Cut(path, "."); {
	case rest == "":
		v = l.own(root)
	case root == "facts":
		v, _ = l.Facts.Get(rest)
	case root == "data":
		v = datum(l.Data, rest)
	case root == "input":
		v = datum(l.Input, rest)
	}
	if v == nil {
		return fallback
	}
	return v
}

// own is what the look says of itself; token is the identity as one token of a subject.
func (l *Look) own(name string) any {
	switch name {
	case "identity":
		return l.Identity
	case "token":
		return strings.ReplaceAll(l.Identity, ".", "=")
	case "machine":
		return l.Machine
	case "instance":
		return l.Instance
	case "state":
		return l.State
	}
	return nil
}

// datum finds a gjson path in data. Plain keys of mappings, one in the other, which is nearly every path, encode nothing.
func datum(data map[string]any, path string) any {
	if !strings.ContainsAny(path, `|*?#@\!{}[]()<>=%`) {
		if v, ok := within(data, path); ok {
			return v
		}
	}
	doc, err := json.Marshal(data)
	if err != nil {
		return nil
	}
	v, _ := getJSON(doc, path)
	return v
}

// within goes down mappings by plain keys. It is false where the way leads through something that is no mapping.
func within(data map[string]any, path string) (any, bool) {
	for {
		key, rest, deeper := strings.Cut(path, ".")
		v, there := data[key]
		if !deeper || !there {
			return v, true
		}
		inner, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		data, path = inner, rest
	}
}

// brief shortens a text for a message.
func brief(text string) string {
	return diag.Brief(text, 60)
}

var (
	errNoWords = errors.New("the command is empty")
	errQuote   = errors.New("a quote is not closed")
	errAction  = errors.New("a template's {{ is not closed by }}")
	errEscape  = errors.New("the command ends in a backslash")
)
