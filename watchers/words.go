package watchers

import (
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
)

// SplitWords splits a command as ExpandWords does, without expanding it, so that a type can check it when a manifest
// is loaded. It is an error too where the command is a template and a word of it by itself is none: control
// structures have to begin and end within a word. A command of spaces has no words.
func SplitWords(command string) ([]string, error) {
	words, err := splitWords(command)
	if err != nil {
		return nil, err
	}
	if whole := machine.CheckTemplate(command); whole != nil {
		return words, nil //nolint:nilerr // Define has told of it already
	}
	for _, word := range words {
		if err := machine.CheckTemplate(word); err != nil {
			return nil, fmt.Errorf("in the word %q %s", brief(word), templateMessage(err))
		}
	}
	return words, nil
}

// splitWords splits a command into words: spaces separate, single quotes keep everything, double quotes
// everything but a backslash before " or \, and a backslash elsewhere keeps the character after it. What
// stands between {{ and }} is kept as it is wherever it stands: its spaces and quotes are the template's.
func splitWords(command string) ([]string, error) {
	s, err := split(command)
	if err != nil {
		return nil, fmt.Errorf("splitting %q into words: %w", brief(command), err)
	}
	return s.words, nil
}

func split(command string) (*splitter, error) {
	s := &splitter{rest: command}
	for s.rest != "" {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	if s.quote != 0 {
		return nil, errQuote
	}
	s.finish()
	return s, nil
}

type splitter struct {
	rest   string
	words  []string
	word   strings.Builder
	inWord bool // also for a word that is empty so far, as '' is
	quote  byte // that is open, 0 for none
	syntax []shellSyntax
}

// next takes an action, an escape or a single byte.
func (s *splitter) next() error {
	c := s.rest[0]
	s.noteSyntax()
	switch {
	case strings.HasPrefix(s.rest, "{{"):
		return s.action()
	case c == '\\' && s.quote != '\'':
		return s.escape()
	case s.quote == 0 && (c == '\'' || c == '"'):
		s.quote, s.inWord = c, true
	case s.quote != 0 && c == s.quote:
		s.quote = 0
	case s.quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
		s.finish()
	default:
		s.keep(s.rest[:1])
	}
	s.rest = s.rest[1:]
	return nil
}

func (s *splitter) keep(text string) {
	s.word.WriteString(text)
	s.inWord = true
}

func (s *splitter) finish() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}

// escape takes a backslash and what follows it.
func (s *splitter) escape() error {
	if len(s.rest) == 1 {
		return errEscape
	}
	if s.quote == '"' && s.rest[1] != '"' && s.rest[1] != '\\' {
		s.keep(`\`)
		s.rest = s.rest[1:]
		return nil
	}
	s.keep(s.rest[1:2])
	s.rest = s.rest[2:]
	return nil
}

// action takes a template's action.
func (s *splitter) action() error {
	end := actionEnd(s.rest)
	if end < 0 {
		return errAction
	}
	s.keep(s.rest[:end])
	s.rest = s.rest[end:]
	return nil
}

// actionEnd returns the length of the action that text begins with, -1 where it does not end. It reads strings,
// characters and comments as text/template does.
func actionEnd(text string) int {
	at := len("{{")
	if body := strings.TrimPrefix(text[at:], "- "); strings.HasPrefix(body, "/*") {
		end := strings.Index(text, "*/")
		if end < 0 {
			return -1
		}
		at = end + len("*/")
	}
	for at < len(text) {
		switch c := text[at]; {
		case strings.HasPrefix(text[at:], "}}"):
			return at + len("}}")
		case c == '"' || c == '\'' || c == '`':
			n := quotedEnd(text[at:])
			if n < 0 {
				return -1
			}
			at += n
		default:
			at++
		}
	}
	return -1
}

// quotedEnd returns the length of the Go string or character that text begins with, -1 where it does not end.
func quotedEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == text[0]:
			return i + 1
		case text[i] == '\\' && text[0] != '`':
			i++
		}
	}
	return -1
}
