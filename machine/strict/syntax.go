package strict

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

var libraryMessage = regexp.MustCompile(`(?s)^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntax turns the library's error into a finding.
func (p *parser) syntax(err error) {
	line, message := splitMessage(err)
	lines := bytes.SplitAfter(normalBreaks(p.src), []byte("\n"))
	if p.tabs(lines, line, message) {
		return
	}
	switch {
	case fails(bytes.NewReader(lines[0]), message):
		line = 1 // which the library leaves out, or replaces with the place where it gave up
	case line == 0 || !fromScanner(message):
		line = locate(lines, message, max(line, 1))
	}
	at := diag.Position{File: p.file, Line: line}
	switch {
	case strings.HasPrefix(message, "unknown anchor"):
		p.fail(CodeAlias, at, hintAlias, "an alias is not allowed: %s", message)
	case strings.HasPrefix(message, "exceeded max depth"):
		p.tooDeep(at)
	default:
		hint := syntaxHint(message)
		if strings.Contains(message, "did not find expected ','") && line <= len(lines) {
			if at.Column = bareMark(lines[line-1]); at.Column > 0 {
				hint = "put text with ${ into quotes within { } and [ ], as in '${ data.name }'"
			}
		}
		p.fail(CodeSyntax, at, hint, "%s", message)
	}
}

// bareMark returns the column of the first ${ in a line that stands outside of quotes, 0 where there is none.
func bareMark(line []byte) int {
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == '"' && c == '\\', quote == '\'' && bytes.HasPrefix(line[i:], []byte("''")):
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '\'' || c == '"') && (i == 0 || strings.IndexByte(" [{,:", line[i-1]) >= 0):
			quote = c
		case bytes.HasPrefix(line[i:], []byte("${")):
			return len([]rune(string(line[:i]))) + 1
		}
	}
	return 0
}

func splitMessage(err error) (line int, message string) {
	parts := libraryMessage.FindStringSubmatch(err.Error())
	line, _ = strconv.Atoi(parts[1])
	return line, parts[2]
}

// fromScanner tells the messages of the library's scanner, whose lines are right, from those of its
// parser, which names the start of the list or mapping around the place, or a line too few.
func fromScanner(message string) bool {
	return !strings.HasPrefix(message, "did not find expected") && !strings.HasPrefix(message, "unknown anchor")
}

// normalBreaks makes every line end in a line feed, without changing their number.
func normalBreaks(src []byte) []byte {
	src = bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(src, []byte("\r"), []byte("\n"))
}

// tabs reports the tabs that indent, where one of them is what the library stopped at, with those that
// begin a later line. Elsewhere, inside of quotes or brackets, such a tab has an obvious reading.
func (p *parser) tabs(lines [][]byte, line int, message string) bool {
	line = max(line, 1)
	if strings.Contains(message, "tab character") {
		// The message stands at the text before the tab.
		for line < len(lines) && tabColumn(lines[line-1]) == 0 {
			line++
		}
	} else if !strings.Contains(message, "cannot start any token") {
		return false
	}
	if line > len(lines) || tabColumn(lines[line-1]) == 0 {
		return false
	}
	for i, found := line-1, 0; i < len(lines) && found < maxRepeats; i++ {
		column := tabColumn(lines[i])
		if i+1 == line || column == 1 && len(bytes.TrimSpace(lines[i])) > 0 {
			found++
			p.fail(CodeTab, diag.Position{File: p.file, Line: i + 1, Column: column}, "indent with spaces",
				"a tab cannot indent a line")
		}
	}
	return true
}

// tabColumn returns the column of the first tab in a line's indentation, 0 where there is none.
func tabColumn(line []byte) int {
	content := bytes.TrimLeft(line, " \t")
	return bytes.IndexByte(line[:len(line)-len(content)], '\t') + 1
}

// locate returns the first line after which the library already gives the message. It hands the document
// out a line at a time to learn how far the library had read, then goes back by what it had read ahead.
// guess is returned for documents that are too large for doing this.
func locate(lines [][]byte, message string, guess int) int {
	const smallEnough, readAhead = 64 << 10, 8
	src := bytes.Join(lines, nil)
	if len(src) > smallEnough {
		return guess
	}
	r := &lineReader{lines: lines}
	if !fails(r, message) {
		return guess
	}
	line, end := r.read, 0
	for _, l := range lines[:line] {
		end += len(l)
	}
	for range readAhead {
		end -= len(lines[line-1])
		if line == 1 || !fails(bytes.NewReader(src[:end]), message) {
			break
		}
		line--
	}
	return line
}

func fails(r io.Reader, message string) bool {
	_, err := readDocuments(r)
	if err == nil {
		return false
	}
	_, got := splitMessage(err)
	return got == message
}

// lineReader hands out at most one line at a time.
type lineReader struct {
	lines [][]byte
	rest  []byte // of the line begun
	read  int    // lines begun
}

func (r *lineReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.read == len(r.lines) || r.read == len(r.lines)-1 && len(r.lines[r.read]) == 0 {
			return 0, io.EOF
		}
		r.rest = r.lines[r.read]
		r.read++
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// syntaxHint says what usually mends an error of the library.
func syntaxHint(message string) string {
	for _, h := range []struct{ part, hint string }{
		{"mapping values are not allowed", `put text that contains ": " into quotes, or check the indentation`},
		{"could not find expected ':'", `write "key: value", and check the indentation of this line and the one above`},
		{"did not find expected key", "check the indentation and the quotes of this line and the one above"},
		{"'-' indicator", `start each entry of the list with "- ", all in the same column`},
		{"',' or ']'", "close the list with ], and put text that holds special characters into quotes"},
		{"',' or '}'", "close the mapping with }, and put text that begins with { or {{ into quotes"},
		{"cannot start any token", "put text that begins with @, ` or % into quotes"},
		{"node content", "write a value here, or put special characters into quotes"},
		{"incompatible YAML", "remove the %YAML line"},
		{"unexpected end of stream", "close the quotes"},
		{"unknown escape", `write \\ for a backslash, or use single quotes`},
		{"alphabetic or numeric", "put text that begins with * or & into quotes"},
	} {
		if strings.Contains(message, h.part) {
			return h.hint
		}
	}
	return "check the indentation and the quotes around this line"
}
