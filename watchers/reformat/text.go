package reformat

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// text is a document, by lines.
type text struct {
	src    string
	lines  []int                 // where each begins
	inFlow map[*strict.Node]bool // within {} or []
}

func newText(src []byte, root *strict.Node) *text {
	t := &text{src: strings.TrimPrefix(string(src), "\ufeff"), inFlow: map[*strict.Node]bool{}}
	for at := 0; at >= 0 && at <= len(t.src); {
		t.lines = append(t.lines, at)
		end := strings.IndexByte(t.src[at:], '\n')
		if end < 0 {
			break
		}
		at += end + 1
	}
	t.flows(root, false)
	return t
}

// at is the offset of a place. Columns count characters.
func (t *text) at(pos diag.Position) int {
	at := t.lines[pos.Line-1]
	for range pos.Column - 1 {
		_, size := utf8.DecodeRuneInString(t.src[at:])
		at += size
	}
	return at
}

// edit puts a text in place of another.
type edit struct {
	from, to int
	text     string
}

// apply makes all edits, which do not overlap.
func (t *text) apply(edits []edit) string {
	slices.SortFunc(edits, func(a, b edit) int { return a.from - b.from })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(t.src[at:e.from] + e.text)
		at = e.to
	}
	return b.String() + t.src[at:]
}

// style is how a scalar is written.
type style byte

const (
	plain  style = 'p'
	single style = '\''
	double style = '"'
	block  style = '|' // or >
)

// scalar is where a scalar stands.
type scalar struct {
	from, to int // of a block without the line end behind its last line that is not empty
	style    style
	inFlow   bool // within {} or []
}

// find returns where a scalar stands, false where it is written in a way that is not edited.
func (t *text) find(n *strict.Node) (s scalar, ok bool) {
	s.from = t.at(n.Pos)
	rest := t.src[s.from:]
	if rest == "" {
		return s, false
	}
	s.inFlow = t.inFlow[n]
	length := 0
	switch rest[0] {
	case '\'', '"':
		s.style, length = style(rest[0]), quotedLength(rest)
	case '|', '>':
		s.style, length = block, t.blockLength(s.from)
	case '!', '&', '*':
		return s, false
	default:
		s.style, length = plain, plainLength(rest, n.Value)
	}
	s.to = s.from + length
	return s, length > 0
}

// flows finds the scalars within {} and [].
func (t *text) flows(n *strict.Node, within bool) {
	if n == nil {
		return
	}
	if n.Kind == strict.Sequence || n.Kind == strict.Mapping {
		at := t.at(n.Pos)
		within = within || at < len(t.src) && (t.src[at] == '{' || t.src[at] == '[')
	} else if within {
		t.inFlow[n] = true
	}
	for _, item := range n.Items {
		t.flows(item, within)
	}
	for _, f := range n.Fields {
		t.flows(f.Value, within)
	}
}

func (t *text) lineEnd(at int) int {
	if end := strings.IndexByte(t.src[at:], '\n'); end >= 0 {
		return at + end
	}
	return len(t.src)
}

// quotedLength returns the length of the quoted text at the beginning, 0 where it does not end.
func quotedLength(text string) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] == '"':
			i++
		case text[i] == text[0] && text[0] == '\'' && strings.HasPrefix(text[i+1:], "'"):
			i++
		case text[i] == text[0]:
			return i + 1
		}
	}
	return 0
}

// plainLength returns the length of the text at the beginning that is read as value, over as many lines as it takes, 0 where none is.
func plainLength(text, value string) int {
	folded, at := "", 0
	for lines := 0; at < len(text) && lines < 1000; lines++ {
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			end = len(text) - at
		}
		line := text[at : at+end]
		part := strings.Trim(line, " \t\r")
		if lines > 0 && part != "" {
			part = " " + part
		}
		if rest, is := strings.CutPrefix(value, folded+part); is && (rest == "" || strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, "\n")) {
			folded += part
			at += end + 1
			if rest == "" {
				return at - 1 - (len(line) - len(strings.TrimRight(line, " \t\r")))
			}
			continue
		}
		last, is := strings.CutPrefix(value, folded)
		last = strings.TrimPrefix(last, " ")
		lead := len(line) - len(strings.TrimLeft(line, " \t"))
		if !is || last == "" || !strings.HasPrefix(line[lead:], last) {
			return 0
		}
		return at + lead + len(last)
	}
	return 0
}

var blockHeader = regexp.MustCompile(`^[|>][-+]?[ \t]*(#.*)?\r?$`)

// blockLength returns the length of the block scalar at an offset, 0 where it is not edited.
func (t *text) blockLength(from int) int {
	at := t.lineEnd(from)
	if !blockHeader.MatchString(t.src[from:at]) {
		return 0
	}
	last, indent := at, -1
	for at < len(t.src) {
		begin := at + 1
		if begin > len(t.src) {
			break
		}
		at = t.lineEnd(begin)
		line := t.src[begin:at]
		depth := len(line) - len(strings.TrimLeft(line, " "))
		if strings.TrimSpace(line) == "" {
			continue
		}
		if indent < 0 {
			indent = depth
			if indent <= t.indentOf(from) {
				return 0
			}
		}
		if depth < indent {
			break
		}
		last = at
	}
	if indent < 0 {
		return 0
	}
	return last - from
}

// indentOf is the indentation of a line in front of its key or item.
func (t *text) indentOf(at int) int {
	begin := strings.LastIndexByte(t.src[:at], '\n') + 1
	line := t.src[begin:at]
	return len(line) - len(strings.TrimLeft(line, " "))
}
