package messaging

import (
	"errors"
	"strings"
)

var errAmbiguous = errors.New("an object of its body has a key twice, or two that differ in case alone: whoever reads it next may take the other one")

// ambiguous reports whether readers may differ about what a body says, which was read as v: of a key that is there twice some take the first and
// some the last (RFC 8259, section 4), and Go's decoder of structs takes keys that differ in case alone for one.
func ambiguous(text []byte, v any) bool {
	if _, plain := v.(string); plain {
		return false
	}
	keys, alike := keysOf(v)
	return alike || keys != pairs(text)
}

// keysOf counts the keys of all objects in a value, and reports whether two of one object are alike but for case.
func keysOf(v any) (n int, alike bool) {
	switch v := v.(type) {
	case map[string]any:
		n, alike = len(v), anyAlike(v)
		for _, inner := range v {
			more, also := keysOf(inner)
			n, alike = n+more, alike || also
		}
	case []any:
		for _, inner := range v {
			more, also := keysOf(inner)
			n, alike = n+more, alike || also
		}
	}
	return n, alike
}

func anyAlike(m map[string]any) bool {
	cased := false
	for key := range m {
		cased = cased || strings.ContainsFunc(key, func(r rune) bool { return r >= 0x80 || 'A' <= r && r <= 'Z' })
	}
	if !cased {
		return false
	}
	folded := make(map[string]bool, len(m))
	for key := range m {
		folded[strings.ToLower(strings.ToUpper(key))] = true // by way of upper case: ſ is an s, the Kelvin sign a k
	}
	return len(folded) < len(m)
}

// pairs counts the colons of a JSON text that are not within texts.
func pairs(text []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ':' && !quoted:
			n++
		}
	}
	return n
}
