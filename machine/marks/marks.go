// Package marks reads the marks of expressions in the values of a manifest of format 2: ${ data.name }. It says where they are and what stands
// around them, and never compiles or evaluates an expression itself.
package marks

import (
	"errors"
	"fmt"
	"strings"
)

const (
	begin  = "${"
	escape = "$${"
)

// Piece is a part of a text: literal text, or the expression of a mark.
type Piece struct {
	Text string // of a mark without the white space around the expression
	Mark bool
}

// The reasons why a mark cannot be read.
var (
	ErrOpen   = errors.New("the mark ${ is not closed by }")
	ErrString = errors.New("a text within the mark is not closed")
	ErrEmpty  = errors.New("there is no expression in the mark")
)

// Split takes a text apart. Two pieces of literal text never follow each other, and no literal piece is empty. $${ is a literal ${.
func Split(text string) ([]Piece, error) {
	var pieces []Piece
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			pieces = append(pieces, Piece{Text: literal.String()})
			literal.Reset()
		}
	}
	for text != "" {
		at := strings.IndexByte(text, '$')
		switch {
		case at < 0:
			literal.WriteString(text)
			text = ""
		case strings.HasPrefix(text[at:], escape):
			literal.WriteString(text[:at] + begin)
			text = text[at+len(escape):]
		case strings.HasPrefix(text[at:], begin):
			literal.WriteString(text[:at])
			flush()
			piece, length, err := first(text[at:])
			if err != nil {
				return nil, err
			}
			pieces = append(pieces, piece)
			text = text[at+length:]
		default:
			literal.WriteString(text[:at+1])
			text = text[at+1:]
		}
	}
	flush()
	return pieces, nil
}

// first reads the mark that a text begins with.
func first(text string) (Piece, int, error) {
	length, err := Length(text)
	if err != nil {
		return Piece{}, 0, err
	}
	expression := strings.TrimSpace(text[len(begin) : length-1])
	if expression == "" {
		return Piece{}, 0, ErrEmpty
	}
	return Piece{Text: expression, Mark: true}, length, nil
}

// Length returns the length of the mark that a text begins with. Braces nest; braces in texts and comments of the expression are none.
func Length(text string) (int, error) {
	depth := 0
	for at := len(begin); at < len(text); {
		rest := text[at:]
		switch c := rest[0]; {
		case c == '"' || c == '\'' || c == '`':
			n := quoted(rest)
			if n < 0 {
				return 0, ErrString
			}
			at += n
			continue
		case strings.HasPrefix(rest, "//"):
			at += until(rest, "\n")
			continue
		case strings.HasPrefix(rest, "/*"):
			at += until(rest, "*/")
			continue
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return at + 1, nil
		case c == '}':
			depth--
		}
		at++
	}
	return 0, ErrOpen
}

// quoted returns the length of the text of the expression language that text begins with, -1 where it does not end. In backquotes a backquote
// is written twice, in other quotes a backslash escapes.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] != '`':
			i++
		case text[i] == text[0] && text[0] == '`' && strings.HasPrefix(text[i+1:], "`"):
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return -1
}

// until returns the length of a comment with its end, or of all there is.
func until(text, end string) int {
	if at := strings.Index(text[2:], end); at >= 0 {
		return 2 + at + len(end)
	}
	return len(text)
}

// Has reports whether a text has a mark, one that cannot be read among them.
func Has(text string) bool {
	return strings.Contains(strings.ReplaceAll(text, escape, " "), begin)
}

// Quote returns the text that Split reads as the literal text given.
func Quote(text string) string { return strings.ReplaceAll(text, begin, escape) }

// Write returns the text of pieces, as Split reads them.
func Write(pieces []Piece) string {
	var b strings.Builder
	for i, p := range pieces {
		switch {
		case p.Mark:
			b.WriteString(Mark(p.Text))
		case strings.HasSuffix(p.Text, "$") && i+1 < len(pieces):
			// Behind a $ a mark would be a literal ${.
			b.WriteString(Quote(p.Text[:len(p.Text)-1]) + `${ "$" }`)
		default:
			b.WriteString(Quote(p.Text))
		}
	}
	return b.String()
}

// Mark returns the mark of an expression.
func Mark(expression string) string {
	if Commented(expression) {
		return begin + " " + expression + "\n}" // which may end in the comment
	}
	return begin + " " + expression + " }"
}

// Commented reports whether an expression has a comment that ends with its line. In a text // begins none.
func Commented(expression string) bool {
	for at := 0; at < len(expression); {
		switch rest := expression[at:]; {
		case strings.IndexByte("\"'`", rest[0]) >= 0:
			n := quoted(rest)
			if n < 0 {
				return false // it is no expression
			}
			at += n
		case strings.HasPrefix(rest, "//"):
			return true
		case strings.HasPrefix(rest, "/*"):
			at += until(rest, "*/")
		default:
			at++
		}
	}
	return false
}

// Whole returns the expression of a text that is one mark and nothing else, and whether it is that.
func Whole(text string) (string, bool) {
	if !strings.HasPrefix(text, begin) {
		return "", false
	}
	length, err := Length(text)
	if err != nil || length != len(text) {
		return "", false
	}
	return strings.TrimSpace(text[len(begin) : length-1]), true
}

// Mend says what to do about a mark that cannot be read.
func Mend(err error) string {
	switch {
	case errors.Is(err, ErrEmpty):
		return "write an expression between the braces, such as ${ data.name }, or $${ for a ${ as it is"
	case errors.Is(err, ErrString):
		return "close the quote, or write $${ for a ${ as it is"
	default:
		return "close it, as in ${ data.name }, or write $${ for a ${ as it is"
	}
}

// maxText bounds a text that marks are filled into, in bytes.
const maxText = 1 << 20

var errText = fmt.Errorf("it makes a text of more than %d bytes", maxText)
