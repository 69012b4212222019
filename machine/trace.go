package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// A trace is a machine's history in a file that can be read, replayed and kept as a test. It is JSON
// lines. The first is a TraceHeader; each of the others is one of
//
//	{"seq":...}            a record, exactly the bytes that were stored, so that the chain of digests holds
//	{"gap":{...}}          a TraceGap: records that are no longer there
//	{"snapshot":{...}}     a Snapshot: where the chain starts again after a gap, or a checkpoint to hold it against
//	{"manifest":"..."}     the text of the manifest that decides the records from here on
//	{"head":{...}}         a TraceHead: what ties the records to a signed head of the host's journal
//
// Empty lines are skipped. A line has at most MaxTraceLine bytes.

// TraceProtocol is the protocol of the traces that this package reads and writes.
const TraceProtocol = "io.statecraft.trace.v1"

// MaxTraceLine bounds a line of a trace (4 MiB): above any record, and above a manifest of 1 MiB with its
// escapes.
const MaxTraceLine = 4 << 20

// The codes of traces.
const (
	codeTraceHeader diag.Code = "SC701" // the first line is no header of a trace that can be read
	codeTraceLine   diag.Code = "SC702" // a line that is none of the kinds that a trace has
	codeTraceLong   diag.Code = "SC703" // a line that is too long
	codeTraceRead   diag.Code = "SC704" // the file could not be read to its end
	codeTraceSeq    diag.Code = "SC705" // a record is missing, doubled or out of order
	codeTraceChain  diag.Code = "SC706" // a record was changed after it was written
	codeTraceLoad   diag.Code = "SC707" // a manifest inside of the trace does not load
	codeTraceDiffer diag.Code = "SC708" // the manifest decides otherwise than the record says
)

// TraceHeader is the first line of a trace.
type TraceHeader struct {
	Protocol string    `json:"protocol"` // TraceProtocol
	Machine  string    `json:"machine"`
	Version  string    `json:"version"`
	Digest   string    `json:"digest"`   // SHA-256 of Manifest, in hex
	Manifest string    `json:"manifest"` // text of the manifest that decided the first records
	Host     string    `json:"host,omitempty"`
	Exported time.Time `json:"exported"`
}

// TraceGap says that records are missing and why.
type TraceGap struct {
	Reason  string    `json:"reason"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Records int64     `json:"records"` // -1 where it cannot be known
}

// TraceHead ties a machine's records to a head of the journal that they are in, which the host has signed. Digests are in hex.
type TraceHead struct {
	Signed json.RawMessage `json:"signed"` // the head, with its signature
	Name   string          `json:"name"`   // of the machine in the journal
	Seq    uint64          `json:"seq"`    // of the machine's last record at the head
	Digest string          `json:"digest"` // of that record
	Leaves []string        `json:"leaves"` // of all machines of the journal, the machine's own among them; their digest is in the head
}

// HeaderFor returns the header of a trace of a definition's machine.
func HeaderFor(d *Definition, host string, exported time.Time) TraceHeader {
	return TraceHeader{
		Protocol: TraceProtocol, Machine: d.Manifest.Name, Version: d.Manifest.Version,
		Digest: d.digest, Manifest: string(d.Manifest.Source), Host: host, Exported: exported.UTC(),
	}
}

// TraceWriter writes a trace.
type TraceWriter struct{ w io.Writer }

// NewTraceWriter begins a trace with its header. The caller keeps and closes w.
func NewTraceWriter(w io.Writer, h TraceHeader) (*TraceWriter, error) {
	t := &TraceWriter{w: w}
	return t, t.value(h)
}

// Record writes one record as it was stored.
func (t *TraceWriter) Record(raw []byte) error { return t.line(raw) }

// Gap writes that records are missing. A snapshot, or the machine's start, must follow.
func (t *TraceWriter) Gap(g TraceGap) error { return t.value(map[string]any{"gap": g}) }

// Snapshot writes the state between the records before and after.
func (t *TraceWriter) Snapshot(s Snapshot) error { return t.value(map[string]any{"snapshot": s}) }

// Manifest writes that another manifest decides from here on.
func (t *TraceWriter) Manifest(text string) error { return t.value(map[string]any{"manifest": text}) }

// Head writes what ties the records to a signed head of the journal.
func (t *TraceWriter) Head(h TraceHead) error { return t.value(map[string]any{"head": h}) }

func (t *TraceWriter) value(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing a trace: %w", err)
	}
	return t.line(b)
}

func (t *TraceWriter) line(b []byte) error {
	if len(b) >= MaxTraceLine {
		return fmt.Errorf("writing a trace: a line of %d bytes is longer than a trace may have", len(b))
	}
	if _, err := t.w.Write(append(b[:len(b):len(b)], '\n')); err != nil {
		return fmt.Errorf("writing a trace: %w", err)
	}
	return nil
}

func (h *TraceHeader) check() error {
	sum := sha256.Sum256([]byte(h.Manifest))
	switch {
	case h.Protocol != TraceProtocol:
		return fmt.Errorf("the protocol is %q, not %q", h.Protocol, TraceProtocol)
	case h.Machine == "":
		return errors.New("no machine is named")
	case h.Digest != hex.EncodeToString(sum[:]):
		return errors.New("the manifest is not the one that the digest names")
	default:
		return nil
	}
}
