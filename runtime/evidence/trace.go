package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// Prove returns what ties a machine's records to heads of a journal in a folder, for a trace. Heads of what is not kept any more are left out, as
// are those that the journal is not as it was at. The heads are those of one journal, the oldest first.
func Prove(ctx context.Context, dir, name string, heads []Signed) (lines []machine.TraceHead, err error) {
	for len(heads) > 0 {
		n := slices.IndexFunc(heads, func(h Signed) bool { return h.Segment != heads[0].Segment })
		if n < 0 {
			n = len(heads)
		}
		more, err := proveSegment(ctx, dir, name, heads[:n])
		if err != nil {
			return nil, err
		}
		lines, heads = append(lines, more...), heads[n:]
	}
	return lines, nil
}

// proveSegment is Prove for heads of one segment.
func proveSegment(ctx context.Context, dir, name string, heads []Signed) (lines []machine.TraceHead, err error) {
	var sizes []int64
	for _, h := range heads {
		sizes = append(sizes, h.Size)
	}
	slices.Sort(sizes)
	m := machines{}
	err = journal.ReadHeads(ctx, dir, heads[0].Segment, slices.Compact(sizes), m.take, func(at journal.Head) error {
		s, known := m[name]
		if !known {
			return nil
		}
		for _, h := range heads {
			if h.Head.Head == at {
				lines = append(lines, machine.TraceHead{
					Signed: json.RawMessage(h.Envelope), Name: name, Seq: s.seq, Digest: s.digest, Leaves: m.leaves(),
				})
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil, err
	}
	return lines, nil // a segment that is gone or damaged proves nothing
}

// TraceCheck is what came of holding a trace against a head.
type TraceCheck struct {
	Standing journal.Standing `json:"standing"`
	Seq      uint64           `json:"seq"` // of the machine's last record at the head
	Reason   string           `json:"reason,omitempty"`
}

// CheckedTrace is what a trace is by itself, and against heads.
type CheckedTrace struct {
	Machine string
	Records int
	Last    uint64       // the number of the last record
	Wrong   []string     // where the chain of records does not hold
	Heads   []TraceCheck // in the order of the heads
}

// CheckTrace reads a trace and holds it against its own chain, and against heads of the journal that its records were in.
func CheckTrace(file string, in io.Reader, heads []Signed) (CheckedTrace, error) {
	r, err := machine.NewTraceReader(file, in)
	if err != nil {
		return CheckedTrace{}, err
	}
	t := tracing{result: CheckedTrace{Machine: r.Header().Machine}, digests: map[uint64]string{}, ready: true, exported: r.Header().Exported}
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return CheckedTrace{}, err
		}
		t.take(l)
	}
	for _, h := range heads {
		t.result.Heads = append(t.result.Heads, t.against(h))
	}
	return t.result, nil
}

// tracing is a check of a trace in progress.
type tracing struct {
	result  CheckedTrace
	digests map[uint64]string // of the records, by number
	seq     uint64            // of the last record, and its digest
	digest  string
	ready   bool // the next record follows it
	lines   []*machine.TraceHead
	// begins is when the first record was made, and exported when the trace was, as they say.
	begins, exported time.Time
}

// Unproven is the standing of a trace that has records of the time of a head, and nothing that ties them to it.
const Unproven journal.Standing = "unproven"

func (t *tracing) take(l *machine.TraceLine) {
	switch {
	case l.Gap != nil:
		t.ready = false
	case l.Snapshot != nil:
		if t.ready && (l.Snapshot.Seq != t.seq || l.Snapshot.Head != t.digest) {
			t.wrong(l, "the snapshot is not of the record before it")
		}
		t.seq, t.digest, t.ready = l.Snapshot.Seq, l.Snapshot.Head, true
	case l.Head != nil:
		t.lines = append(t.lines, l.Head)
	case l.Record != nil:
		t.record(l)
	}
}

func (t *tracing) record(l *machine.TraceLine) {
	starts := !t.ready && l.Record.Kind == machine.RecordStart
	switch {
	case starts:
	case !t.ready || l.Record.Seq != t.seq+1:
		t.wrong(l, "record %d does not follow record %d: a record is missing or doubled", l.Record.Seq, t.seq)
	case l.Record.Prev != t.digest:
		t.wrong(l, "record %d does not continue the chain: record %d was changed, or this one", l.Record.Seq, t.seq)
	}
	t.seq, t.digest, t.ready = l.Record.Seq, machine.HashRecord(l.Raw), true
	t.digests[t.seq] = t.digest
	if t.begins.IsZero() {
		t.begins = l.Record.At
	}
	t.result.Records++
	t.result.Last = max(t.result.Last, t.seq)
}

func (t *tracing) wrong(l *machine.TraceLine, format string, args ...any) {
	t.result.Wrong = append(t.result.Wrong, fmt.Sprintf("%s:%d: ", l.Pos.File, l.Pos.Line)+fmt.Sprintf(format, args...))
}

// against holds the trace against a head.
func (t *tracing) against(h Signed) TraceCheck {
	at := slices.IndexFunc(t.lines, func(l *machine.TraceHead) bool {
		s, err := Open(l.Signed)
		return err == nil && s.Head == h.Head
	})
	switch {
	case at >= 0:
	case h.At.After(t.exported):
		return TraceCheck{Standing: journal.TooOld, Reason: "the trace was exported before"}
	case t.begins.IsZero() || h.At.Before(t.begins.Truncate(time.Second)):
		return TraceCheck{Standing: journal.TooOld, Reason: "the trace begins after it"}
	default:
		return TraceCheck{Standing: Unproven, Reason: "nothing in the trace ties its records to this head: they were changed, or the line was taken out, or the " +
			"host has not kept the head; hold the journal itself against it"}
	}
	l := t.lines[at]
	c := TraceCheck{Standing: journal.Departs, Seq: l.Seq}
	have, there := t.digests[l.Seq]
	switch {
	case digest(l.Leaves) != h.Machines || !slices.Contains(l.Leaves, leaf(l.Name, l.Seq, l.Digest)):
		c.Reason = "the trace's line for it was changed: it is not what the head was made of"
	case !there && l.Seq > t.result.Last:
		c.Reason = fmt.Sprintf("the trace is cut at its end: it ends with record %d, and record %d was there", t.result.Last, l.Seq)
	case !there:
		c.Standing, c.Reason = journal.TooOld, fmt.Sprintf("record %d is not in the trace", l.Seq)
	case have != l.Digest:
		c.Reason = fmt.Sprintf("record %d, or one before it, is not the one that was there", l.Seq)
	default:
		c.Standing = journal.Holds
	}
	return c
}
