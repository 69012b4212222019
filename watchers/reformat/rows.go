package reformat

import (
	"strings"
	"unicode/utf8"
)

// longest is how many columns a row should have.
const longest = 120

// rows breaks rows that are too long behind a comma of the {} or [] that they are in, but for those to be kept.
func rows(text, keep string) string {
	kept := map[string]bool{}
	for row := range strings.SplitSeq(keep, "\n") {
		kept[row] = true
	}
	var out []string
	for row := range strings.SplitSeq(text, "\n") {
		for !kept[row] && utf8.RuneCountInString(row) > longest {
			at, indent := breakOf(row)
			if at == 0 {
				break
			}
			out = append(out, row[:at])
			row = strings.Repeat(" ", indent) + strings.TrimLeft(row[at:], " ")
		}
		out = append(out, row)
	}
	return strings.Join(out, "\n")
}

// breakOf returns the end of the first part of a row, behind a comma as far out as there is one, and how far the rest is indented; 0 where the row
// cannot be broken.
func breakOf(row string) (at, indent int) {
	var open []int // where each bracket that is open stands
	depth := longest
	for i := 0; i < len(row); i++ {
		switch c := row[i]; {
		case (c == '\'' || c == '"') && i > 0 && strings.IndexByte(" [{,", row[i-1]) >= 0:
			i += max(quotedLength(row[i:])-1, 0)
		case c == '{' || c == '[':
			open = append(open, i)
		case (c == '}' || c == ']') && len(open) > 0:
			open = open[:len(open)-1]
		case c == '#' && i > 0 && row[i-1] == ' ':
			return at, indent
		case c == ',' && len(open) > 0 && len(open) <= depth && strings.HasPrefix(row[i+1:], " "):
			if utf8.RuneCountInString(row[:i+1]) > longest || open[len(open)-1]+1 >= i {
				continue
			}
			at, indent, depth = i+1, open[len(open)-1]+1, len(open)
		}
	}
	return at, indent
}
