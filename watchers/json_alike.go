package watchers

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What readers of JSON take for different things, or not at all.
var (
	ErrAmbiguous = errors.New("an object of its body has a key twice, or two that differ in case alone: whoever reads it next may take the other one")
	errNotUTF8   = errors.New("its body is not UTF-8")
	errNUL       = errors.New("its body has the character NUL")
	errSurrogate = errors.New("its body has half of a surrogate pair")
	errRange     = errors.New("its body has a number beyond those that there are, such as 1e400")
)

// Alike reports why readers may differ about what a body says, which ReadJSON has read as v, or v is the text itself where it is no JSON. nil is that
// all of them read the same.
func Alike(text []byte, v any) error { return differ(text, v, Ambiguous) }

// AlikeButForCase is Alike for what is written anew after it was read: keys may differ in case alone, as those of facts do.
func AlikeButForCase(text []byte, v any) error { return differ(text, v, twice) }

func differ(text []byte, v any, ambiguous func([]byte, any) bool) error {
	if !utf8.Valid(text) {
		return errNotUTF8
	}
	if plain, ok := v.(string); ok && plain == string(text) {
		if bytes.IndexByte(text, 0) >= 0 {
			return errNUL
		}
		return nil
	}
	if ambiguous(text, v) {
		return ErrAmbiguous
	}
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			length, err := escape(text[i:])
			if err != nil {
				return err
			}
			i += length - 1
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '-' || '0' <= c && c <= '9'):
			length := len(text[i:]) - len(bytes.TrimLeft(text[i:], "+-.0123456789eE"))
			if number := text[i : i+length]; beyond(number) {
				return errRange
			}
			i += length - 1
		}
	}
	return nil
}

// longNumber is a length, in bytes, up to which a number without an exponent is one that there is.
const longNumber = 300

func beyond(number []byte) bool {
	if len(number) <= longNumber && !bytes.ContainsAny(number, "eE") {
		return false
	}
	_, err := strconv.ParseFloat(string(number), 64)
	return errors.Is(err, strconv.ErrRange)
}

// escape is the length of the escape that a text begins with, of a whole pair where it is a surrogate.
func escape(text []byte) (length int, err error) {
	const one = len(`\u0000`)
	switch r := escaped(text); {
	case r < 0:
		return len(`\n`), nil
	case r == 0:
		return 0, errNUL
	case utf8.ValidRune(r):
		return one, nil
	default:
		low := escaped(text[one:])
		if r >= 0xdc00 || low < 0xdc00 || low > 0xdfff {
			return 0, errSurrogate
		}
		return 2 * one, nil
	}
}

// escaped is the number in an escape such as \u00e9, -1 where a text begins with something else.
func escaped(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// Ambiguous reports whether readers may differ about which value of a body a key has, which was read as v: of a key that is there twice some take the first and
// some the last (RFC 8259, section 4), and Go's decoder of structs takes keys that differ in case alone for one.
func Ambiguous(text []byte, v any) bool {
	if _, plain := v.(string); plain {
		return false
	}
	keys, alike := keysOf(v)
	return alike || keys != pairs(text)
}

func twice(text []byte, v any) bool {
	keys, _ := keysOf(v)
	return keys != pairs(text)
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
