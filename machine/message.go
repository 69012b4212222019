package machine

import (
	"regexp"
	"strings"
	"unicode"
)

// MaxMessage bounds what an event says of its outcome, in bytes: the journal keeps it, and so does every event that is published.
const MaxMessage = 1 << 10

// cut ends a message that was longer.
const cut = "..."

// colour is how programs set colours and move the cursor of a terminal (ECMA-48), and name its window.
var colour = regexp.MustCompile(`\x1b(?:\[[\x20-\x3f]*[[:alpha:]]|\][^\x07\x1b]*(?:\x07|\x1b\\))`)

// OneLine makes text of any origin a message: one line of at most MaxMessage bytes that controls no terminal. A message stays as it is.
func OneLine(text string) string {
	text = validText(text)
	if strings.ContainsRune(text, 0x1b) {
		text = colour.ReplaceAllString(text, "")
	}
	if strings.ContainsFunc(text, controls) {
		text = strings.Map(plain, text)
	}
	text = strings.TrimSpace(text)
	if len(text) <= MaxMessage {
		return text
	}
	return strings.TrimSpace(strings.ToValidUTF8(text[:MaxMessage-len(cut)], "")) + cut
}

// plain is a rune that stands for itself in a line. What breaks a line is a space; what else controls how text is shown is told from it.
func plain(r rune) rune {
	switch {
	case !controls(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	default:
		return unicode.ReplacementChar
	}
}

// controls reports whether a rune controls a terminal, breaks a line or turns the direction in which text is read.
func controls(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}
