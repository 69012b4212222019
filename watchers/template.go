package watchers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// wrapText says which text could not be filled.
func wrapText(text string, err error) error { return fmt.Errorf("%q: %w", brief(text), err) }

// isTemplate reports whether a text of a manifest older than format 2 is a template: of COMPAT's kind (lookup, Title, Capitalize, ToLower, ToUpper,
// StringJoin, Base64Encode, Base64Decode), over the look's facts and data. A value that is missing or null is lookup's second argument, or the
// empty text.
func isTemplate(text string) bool { return strings.Contains(text, "{{") }

// beforeTemplate is the text in front of the first value of a template.
func beforeTemplate(text string) string {
	before, _, _ := strings.Cut(text, "{{")
	return before
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
