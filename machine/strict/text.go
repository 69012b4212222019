package strict

import (
	"bytes"
	"unicode/utf8"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// maxRepeats is how many findings of one sort are worth reading.
const maxRepeats = 20

// checkText looks at the bytes before the library does, which reports such things one at a time and
// without a column. It reports whether they can be parsed.
func (p *parser) checkText() bool {
	if len(p.src) > MaxBytes {
		p.fail(CodeTooLarge, diag.Position{File: p.file}, "split it, or move payloads into files of their own",
			"the document has %d bytes, more than %d", len(p.src), MaxBytes)
		return false
	}
	if rest, marked := bytes.CutPrefix(p.src, []byte("\ufeff")); marked {
		p.src = rest
		p.list.Add(diag.Warning, CodeBOM, diag.Position{File: p.file, Line: 1, Column: 1},
			"save it as UTF-8 without a byte order mark", "the document begins with a byte order mark")
	}
	p.checkCharacters()
	return !p.list.HasErrors()
}

func (p *parser) checkCharacters() {
	at := diag.Position{File: p.file, Line: 1, Column: 1}
	found := 0
	for i := 0; i < len(p.src) && found < maxRepeats; {
		r, size := utf8.DecodeRune(p.src[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			found++
			p.fail(CodeEncoding, at, "save it as UTF-8", "the byte 0x%02X is not UTF-8", p.src[i])
		case forbidden(r):
			found++
			p.fail(CodeControl, at, "remove it", "the control character %U is not allowed", r)
		}
		i += size
		at.Column++
		if r == '\n' || r == '\r' && !bytes.HasPrefix(p.src[i:], []byte("\n")) {
			at.Line, at.Column = at.Line+1, 1
		}
	}
}

// forbidden tells the characters that YAML does not allow, and with them the line breaks that editors do
// not show: the library follows YAML 1.1 there and starts a new line, YAML 1.2 does not.
func forbidden(r rune) bool {
	switch {
	case r == '\t' || r == '\n' || r == '\r':
		return false
	case r < 0x20 || r >= 0x7f && r < 0xa0:
		return true
	default:
		return r == '\u2028' || r == '\u2029' || r == '\ufeff' || r == '\ufffe' || r == '\uffff'
	}
}
