package reformat

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/statecraft-io/statecraft/machine/marks"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// wrap puts a mark around an expression where it stands, over as many lines as it has.
func (w *rewriting) wrap(n *strict.Node) {
	s, ok := w.text.find(n)
	if !ok {
		w.unedited(n)
		return
	}
	expression := strings.TrimSpace(n.Value)
	written := w.text.src[s.from:s.to]
	several := strings.Contains(written, "\n")
	switch {
	case s.style == block && marks.Commented(expression):
		w.problem(n, "write its comments beside the value", "an expression with comments in it is not rewritten")
		return
	case s.style == block:
		w.wrapBlock(n, s, written)
	case several && s.style == plain && !s.inFlow:
		w.edits = append(w.edits, edit{s.from, s.to, "${ " + written + " }"})
		w.expected[n] = marks.Mark(n.Value)
	default:
		w.to(n, marks.Mark(expression))
	}
}

// wrapBlock has the mark on rows of its own where it would make others too long.
func (w *rewriting) wrapBlock(n *strict.Node, s scalar, written string) {
	header, body, _ := strings.Cut(written, "\n")
	lead := len(body) - len(strings.TrimLeft(body, " \t\r\n"))
	body, indent := strings.TrimRight(body, " \t\r\n"), body[:lead]
	first, last := body, body[strings.LastIndexByte(body, '\n')+1:]
	if end := strings.IndexByte(body, '\n'); end >= 0 {
		first = body[:end]
	}
	fold := map[byte]string{'>': " ", '|': "\n"}[header[0]]
	open, before, behind, end := "${ ", " ", " ", " }"
	tooLong := func(row, more string) bool { return utf8.RuneCountInString(row)+len(more) > longest }
	if tooLong(first, open) || len(first) == len(body) && tooLong(first, open+end) {
		open, before = "${\n"+indent, fold
	}
	if tooLong(last, end) {
		end, behind = "\n"+indent+"}", fold
	}
	w.edits = append(w.edits, edit{s.from, s.to, stripped(header) + "\n" + indent + open + body[lead:] + end})
	w.expected[n] = "${" + before + strings.TrimRight(strings.TrimLeft(n.Value, " \t\n"), " \n") + behind + "}"
}

// plain writes a literal in place of the expression that gives it, and reports whether that can be done where it stands: a block loses its quotes.
func (w *rewriting) plain(n *strict.Node, v any) bool {
	s, ok := w.text.find(n)
	if !ok || s.style != block {
		w.to(n, v)
		return true
	}
	header, body, _ := strings.Cut(w.text.src[s.from:s.to], "\n")
	inner := strings.Trim(body, " \t\r\n")
	if text, is := v.(string); !is || strings.Contains(inner, `\`) || strings.Contains(text, "${") || inner[1] == ' ' || inner[1] == '\n' {
		return false
	}
	lead := strings.Index(body, inner)
	w.edits = append(w.edits, edit{s.from, s.to, stripped(header) + "\n" + body[:lead] + inner[1:len(inner)-1]})
	w.expected[n] = v
	return true
}

// stripped is the header of a block without the newline at its end.
func stripped(header string) string {
	if header[1:] != "" && (header[1] == '-' || header[1] == '+') {
		return header[:1] + "-" + header[2:]
	}
	return header[:1] + "-" + header[1:]
}

func (w *rewriting) unedited(n *strict.Node) {
	w.problem(n, "write it in quotes on one line, or as format 2 by hand", "a value that is written like this is not rewritten")
}

// replace has a scalar come to a value, and reports whether that can be.
func (w *rewriting) replace(n *strict.Node, v any) bool {
	s, ok := w.text.find(n)
	if !ok {
		w.unedited(n)
		return false
	}
	text, is := v.(string)
	switch {
	case !is:
		w.edits = append(w.edits, edit{s.from, s.to, written(v)})
		return true
	case s.style == block:
		return w.replaceBlock(n, s, text)
	case strings.ContainsAny(text, "\n\r") && s.style != double:
		w.unedited(n)
		return false
	}
	w.edits = append(w.edits, edit{s.from, s.to, encode(text, s)})
	return true
}

func written(v any) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(v)
}

// replaceBlock writes the lines of a block anew where they are as many as before.
func (w *rewriting) replaceBlock(n *strict.Node, s scalar, text string) bool {
	lines := strings.Split(w.text.src[s.from:s.to], "\n")
	values := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if lines[0][0] != '|' || len(values) != len(lines)-1 {
		w.unedited(n)
		return false
	}
	indent := len(lines[1]) - len(strings.TrimLeft(lines[1], " "))
	for i, v := range values {
		if v != "" {
			lines[i+1] = strings.Repeat(" ", indent) + v
		}
	}
	w.edits = append(w.edits, edit{s.from, s.to, strings.Join(lines, "\n")})
	return true
}

// notPlain is what a text without quotes cannot begin with, or have in it.
var notPlain = regexp.MustCompile("^[-?:,\\[\\]{}#&*!|>'\"%@` \t]|: |:$| #|[ \t]$|[\\x00-\\x1f\\x7f]")

// encode writes a text on one line: without quotes where that is the same text, else with those that it had.
func encode(text string, s scalar) string {
	asText := &strict.Node{Kind: strict.Scalar, Value: text}
	if read, is := asText.Any().(string); is && read == text && text != "" && !isNull(text) && !notPlain.MatchString(text) && !(s.inFlow && strings.ContainsAny(text, ",[]{}")) {
		return text
	}
	controls := strings.ContainsAny(text, "\n\r\t\\") && s.style == double
	if controls || strings.Contains(text, "'") && !strings.ContainsAny(text, `"\`) || s.style == double && !strings.ContainsAny(text, `"\`) {
		return strconv.Quote(text)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

func isNull(text string) bool { return text == "~" || strings.EqualFold(text, "null") }
