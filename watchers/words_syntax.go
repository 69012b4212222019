package watchers

import (
	"regexp"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
)

// CodeShellSyntax is what a shell would obey in a command that none reads.
const CodeShellSyntax diag.Code = "SC356"

// shellSyntax is what a shell would obey.
type shellSyntax struct {
	word int    // the index of the word that it is in
	text string // as it stands
}

// ShellSyntax returns the first piece of a command that a shell would obey and that is passed on as it is here, such as a pipe; "" where there is
// none. What stands between quotes or is the program of an interpreter is meant as it is.
func ShellSyntax(command string, marked bool) string {
	s, err := split(command, marked)
	if err != nil || len(s.words) > maxWords {
		return ""
	}
	texts := programTexts(texts(s.words))
	for _, found := range s.syntax {
		if slices.ContainsFunc(texts, func(t programText) bool { return t.at == found.word }) || s.harmless(found) {
			continue
		}
		return found.text
	}
	return ""
}

// harmless reports what means nothing to a shell either, or is known not to be meant: a URL, the end of find's -exec.
func (s *splitter) harmless(found shellSyntax) bool {
	if found.word >= len(s.words) {
		return found.text == newLine
	}
	text := s.words[found.word].text
	return strings.Contains(text, "://") && strings.ContainsAny(found.text, "?*&;") ||
		text == ";" && slices.ContainsFunc(s.words, func(w word) bool { return slices.Contains([]string{"-exec", "-execdir", "-ok", "-okdir"}, w.text) })
}

const newLine = "a new line"

// noteSyntax looks at what comes next.
func (s *splitter) noteSyntax() {
	text, word := s.shellSyntax(), len(s.words)
	if text == newLine && s.inWord {
		word++ // it is about what stands behind it
	}
	if text != "" {
		s.syntax = append(s.syntax, shellSyntax{word: word, text: text})
	}
}

func (s *splitter) shellSyntax() string {
	c := s.rest[0]
	switch {
	case s.quote == '\'':
		return ""
	case c == '$':
		return variableAt(s.rest)
	case c == '`':
		return "`"
	case s.quote != 0:
		return ""
	case c == '\n' && (s.inWord || s.words != nil):
		return newLine
	case strings.IndexByte("|&;<>", c) >= 0:
		return s.rest[:len(s.rest)-len(strings.TrimLeft(s.rest, "|&;<>"))]
	case c == '*' || c == '?':
		return s.rest[:1]
	case c == '~' && !s.inWord && (len(s.rest) == 1 || strings.IndexByte("/ \t\n", s.rest[1]) >= 0):
		return "~"
	}
	return ""
}

var shellVariableForm = regexp.MustCompile(`^\$(\{[A-Za-z_][^}]*\}?|\(|[A-Za-z_][A-Za-z0-9_]*)`)

// variableAt returns the variable or command that a text begins with, "" where it begins with something else.
func variableAt(text string) string {
	if !strings.HasPrefix(text, "$") {
		return ""
	}
	return shellVariableForm.FindString(text)
}

// shellVariable returns the first variable in a text that a shell would replace, outside of what is filled in; "" where there is none.
func shellVariable(text string, marked bool) string {
	for text != "" {
		skip := 1
		switch {
		case marked && strings.HasPrefix(text, "$${"):
			text = text[len("$${"):] // meant as it stands
			continue
		case marked && strings.HasPrefix(text, "${"):
			length, _ := marks.Length(text)
			text = text[max(skip, length):]
			continue
		case !marked && strings.HasPrefix(text, "{{"):
			skip = max(skip, actionEnd(text))
		}
		if found := variableAt(text); found != "" {
			return found
		}
		text = text[skip:]
	}
	return ""
}
