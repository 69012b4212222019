package watchers

import (
	"fmt"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
)

// word is a word of a command: a text, before its values are filled in.
type word struct {
	text string // as written, without its quotes
	fill Text
}

// filled reports whether the word has a value.
func (w word) filled() bool {
	_, known := w.fill.Literal()
	return !known
}

// texts are words as they are written.
func texts(words []word) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = w.text
	}
	return all
}

// splitWords splits a command into words: spaces separate, single quotes keep everything, double quotes
// everything but a backslash before " or \, and a backslash elsewhere keeps the character after it. What
// stands between ${ and }, or in manifests older than format 2 between {{ and }}, is kept as it is wherever it stands: its spaces and quotes are the
// expression's.
func splitWords(command string, marked bool) ([]word, error) {
	s, err := split(command, marked)
	if err != nil {
		return nil, fmt.Errorf("splitting %q into words: %w", brief(command), err)
	}
	return s.words, nil
}

// SplitWords splits a command into which nothing is filled, as a shell would: quotes and backslashes, nothing else.
func SplitWords(command string) ([]string, error) {
	words, err := splitWords(command, false)
	if len(words) == 0 {
		return nil, err
	}
	return texts(words), nil
}

func split(command string, marked bool) (*splitter, error) {
	s := &splitter{rest: command, marked: marked}
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
	marked bool
	words  []word
	word   strings.Builder
	pieces []marks.Piece // of the word, where marks are read
	inWord bool          // also for a word that is empty so far, as '' is
	quote  byte          // that is open, 0 for none
	syntax []shellSyntax
}

// next takes an action, an escape or a single byte.
func (s *splitter) next() error {
	c := s.rest[0]
	switch {
	case s.marked && strings.HasPrefix(s.rest, "$${"):
		s.keep("${")
		s.rest = s.rest[len("$${"):]
		return nil
	case s.marked && strings.HasPrefix(s.rest, "${"):
		return s.mark()
	}
	s.noteSyntax()
	switch {
	case !s.marked && strings.HasPrefix(s.rest, "{{"):
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
	if !s.marked {
		return
	}
	if last := len(s.pieces) - 1; last >= 0 && !s.pieces[last].Mark {
		s.pieces[last].Text += text
	} else {
		s.pieces = append(s.pieces, marks.Piece{Text: text})
	}
}

func (s *splitter) finish() {
	if s.inWord {
		w := word{text: s.word.String()}
		if w.fill.f = (&Formula{text: w.text}); s.marked {
			w.fill.f.value = marks.OfPieces(s.pieces, diag.Position{})
		} else {
			w.fill.f.readTemplate()
		}
		s.words = append(s.words, w)
	}
	s.word.Reset()
	s.inWord, s.pieces = false, nil
}

// mark takes the mark of an expression.
func (s *splitter) mark() error {
	length, err := marks.Length(s.rest)
	if err != nil {
		return err
	}
	pieces, err := marks.Split(s.rest[:length])
	if err != nil {
		return err
	}
	s.word.WriteString(s.rest[:length])
	s.pieces, s.inWord = append(s.pieces, pieces...), true
	s.rest = s.rest[length:]
	return nil
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
