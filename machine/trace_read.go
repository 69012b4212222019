package machine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// TraceLine is one line of a trace after its header. Exactly one of Record, Gap, Snapshot, Manifest and Head is set.
type TraceLine struct {
	Pos      diag.Position
	Raw      []byte // the record's bytes, owned by the line
	Record   *Record
	Gap      *TraceGap
	Snapshot *Snapshot
	Manifest *string
	Head     *TraceHead
}

// TraceReader reads a trace line by line. It holds one line at a time.
type TraceReader struct {
	file   string
	scan   *bufio.Scanner
	line   int
	header TraceHeader
}

// NewTraceReader reads the header of a trace. file is only used in diagnostics. Errors of this and of Next
// are diag.Lists with one finding.
func NewTraceReader(file string, r io.Reader) (*TraceReader, error) {
	t := &TraceReader{file: file, scan: bufio.NewScanner(r)}
	t.scan.Buffer(nil, MaxTraceLine)
	const hint = "a trace begins with its header line; export it again with statecraft trace"
	b, err := t.text()
	if errors.Is(err, io.EOF) {
		return nil, t.fail(codeTraceHeader, hint, "the trace is empty")
	}
	if err != nil {
		return nil, err
	}
	if err := decodeStrict(b, &t.header); err != nil {
		return nil, t.fail(codeTraceHeader, hint, "this is no header of a trace: %v", err)
	}
	if err := t.header.check(); err != nil {
		return nil, t.fail(codeTraceHeader, hint, "the header of the trace is not valid: %v", err)
	}
	return t, nil
}

// Header returns the first line.
func (t *TraceReader) Header() TraceHeader { return t.header }

// Next returns the next line, or io.EOF after the last.
func (t *TraceReader) Next() (*TraceLine, error) {
	b, err := t.text()
	if err != nil {
		return nil, err
	}
	l := &TraceLine{Pos: diag.Position{File: t.file, Line: t.line}}
	if err := l.decode(b); err != nil {
		return nil, t.fail(codeTraceLine, "the file was cut or edited; export it again with statecraft trace", "%v", err)
	}
	return l, nil
}

// text returns the next line that is not empty. It is valid until the next call.
func (t *TraceReader) text() ([]byte, error) {
	for t.scan.Scan() {
		t.line++
		if b := bytes.TrimSpace(t.scan.Bytes()); len(b) > 0 {
			return b, nil
		}
	}
	err := t.scan.Err()
	if err == nil {
		return nil, io.EOF
	}
	t.line++
	if errors.Is(err, bufio.ErrTooLong) {
		return nil, t.fail(codeTraceLong, "this is no trace, or its line ends were lost; export it again with statecraft trace",
			"a line is longer than %d bytes", MaxTraceLine)
	}
	return nil, t.fail(codeTraceRead, "check the disk or connection and read it again", "the trace cannot be read: %v", err)
}

func (t *TraceReader) fail(code diag.Code, hint, format string, args ...any) error {
	var list diag.List
	list.Add(diag.Error, code, diag.Position{File: t.file, Line: t.line}, hint, format, args...)
	return list
}

// decode reads one line into the field of its kind.
func (l *TraceLine) decode(b []byte) error {
	var probe map[string]json.RawMessage
	if err := json.Unmarshal(b, &probe); err != nil {
		return fmt.Errorf("the line is not a JSON object: %w", err)
	}
	if _, ok := probe["seq"]; ok {
		r, err := DecodeRecord(b)
		l.Record, l.Raw = r, bytes.Clone(b)
		return err
	}
	if len(probe) != 1 {
		return errors.New("the line is no record, gap, snapshot, manifest or head")
	}
	for key, value := range probe {
		return l.decodeKind(key, value)
	}
	return nil
}

func (l *TraceLine) decodeKind(kind string, value []byte) (err error) {
	switch kind {
	case "gap":
		l.Gap = new(TraceGap)
		return decodeStrict(value, l.Gap)
	case "snapshot":
		l.Snapshot, err = DecodeSnapshot(value)
		return err
	case "manifest":
		l.Manifest = new(string)
		return decodeStrict(value, l.Manifest)
	case "head":
		l.Head = new(TraceHead)
		return decodeStrict(value, l.Head)
	default:
		return fmt.Errorf("a trace has no lines of kind %q", kind)
	}
}
