package watchers

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// ReadJSONText is ReadJSON of a text. A JSON object of which every value is a text without escapes, as of a document that carries one large text, is read
// without the decoder, in a tenth of its time; the texts are parts of the one that was given.
func ReadJSONText(text string, deepest int) (any, error) {
	if object, ok := flatTexts(text); ok && deepest > 0 {
		return object, nil
	}
	return ReadJSON([]byte(text), deepest)
}

// flatTexts reads an object of texts. ok is false where it is anything else, or has a key twice: that is for the decoder.
func flatTexts(text string) (object map[string]any, ok bool) {
	if !utf8.ValidString(text) {
		return nil, false
	}
	rest, ok := expect(text, '{')
	for object = map[string]any{}; ok; {
		var key, value string
		if key, rest, ok = plainText(rest); !ok {
			break
		}
		if rest, ok = expect(rest, ':'); !ok {
			break
		}
		if value, rest, ok = plainText(rest); !ok {
			break
		}
		if _, twice := object[key]; twice {
			break
		}
		object[key] = value
		if after, more := expect(rest, ','); more {
			rest = after
			continue
		}
		rest, ok = expect(rest, '}')
		return object, ok && skipSpace(rest) == ""
	}
	return nil, false
}

// plainText takes a text without escapes.
func plainText(text string) (plain, rest string, ok bool) {
	if text, ok = expect(text, '"'); !ok {
		return "", "", false
	}
	plain, rest, ok = strings.Cut(text, `"`)
	return plain, rest, ok && needsNoEscape(plain)
}

// expect takes a character, and the space in front of it.
func expect(text string, c byte) (rest string, ok bool) {
	text = skipSpace(text)
	if text == "" || text[0] != c {
		return text, false
	}
	return text[1:], true
}

func skipSpace(text string) string { return strings.TrimLeft(text, " \t\r\n") }

// needsNoEscape reports whether a text stands in JSON as it is.
func needsNoEscape(text string) bool {
	if strings.IndexByte(text, '\\') >= 0 || strings.IndexByte(text, '"') >= 0 {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' {
			return false
		}
	}
	return true
}

// WriteJSON encodes a value as ReadJSON gives it, in one line and without the escapes that only HTML needs. Keys are in their order.
func WriteJSON(v any) (string, error) {
	if text, ok := writeFlatTexts(v); ok {
		return text, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// writeFlatTexts writes what flatTexts reads. ok is false for anything else.
func writeFlatTexts(v any) (text string, ok bool) {
	object, ok := v.(map[string]any)
	if !ok {
		return "", false
	}
	size := len("{}")
	keys := make([]string, 0, len(object))
	for key, inner := range object {
		value, plain := inner.(string)
		if !plain || !needsNoEscape(key) || !needsNoEscape(value) || !utf8.ValidString(key) || !utf8.ValidString(value) {
			return "", false
		}
		keys = append(keys, key)
		size += len(`"":"",`) + len(key) + len(value)
	}
	slices.Sort(keys)
	var b strings.Builder
	b.Grow(size)
	b.WriteByte('{')
	for i, key := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		for _, part := range []string{`"`, key, `":"`, object[key].(string), `"`} {
			b.WriteString(part)
		}
	}
	b.WriteByte('}')
	return b.String(), true
}
