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
func proveSegment(ctx context.Context, dir, name string, heads []Signed) ([]machine.TraceHead, error) {
	var sizes []int64
	for _, h := range heads {
		sizes = append(sizes, h.Size)
	}
	slices.Sort(sizes)
	// What reads goes on beside this where ctx ends: a disk may not answer. It shares nothing but the channel.
	m, found := machines{}, make(chan machine.TraceHead, len(heads))
	_ = journal.ReadHeads(ctx, dir, heads[0].Segment, slices.Compact(sizes), m.take, func(at journal.Head) error {
		s, known := m[name]
		if !known {
			return nil
		}
		for _, h := range heads {
			if h.Head.Head == at {
				found <- machine.TraceHead{Signed: json.RawMessage(h.Envelope), Name: name, Seq: s.seq, Digest: s.digest, Leaves: m.leaves()}
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var lines []machine.TraceHead
	for len(found) > 0 {
		lines = append(lines, <-found)
	}
	return lines, nil // a segment that is gone or damaged proves nothing
}

// TraceCheck is what came of holding a trace against a head. It vouches for the records From to Seq, and for no other ones.
type TraceCheck struct {
	Standing journal.Standing `json:"standing"`
	Name     string           `json:"name"` // of the machine in the journal, "" where no line of the trace is of the head
	From     uint64           `json:"from"` // the first record of the unbroken run that ends with Seq, 0 unless it holds
	Seq      uint64           `json:"seq"`  // of the machine's last record at the head
	Reason   string           `json:"reason,omitempty"`
}

// TraceRecords are records of a trace by their numbers, both included.
type TraceRecords struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// CheckedTrace is what a trace is by itself, and against heads.
type CheckedTrace struct {
	Machine string
	Records int
	Last    uint64       // the number of the last record
	Wrong   []string     // where the chain of records does not hold, or the header is of something else
	Heads   []TraceCheck // in the order of the heads
	// Unproven are records that no head vouches for, as a gap is between them and those that one does. What only follows the newest head is not
	// among them.
	Unproven []TraceRecords
}

// CheckTrace reads a trace and holds it against its own chain, and against heads of the journal that its records were in.
func CheckTrace(file string, in io.Reader, heads []Signed) (CheckedTrace, error) {
	r, err := machine.NewTraceReader(file, in)
	if err != nil {
		return CheckedTrace{}, err
	}
	t := tracing{
		header: r.Header(), machine: r.Header().Machine, result: CheckedTrace{Machine: r.Header().Machine}, ready: true,
		places: map[string]int{}, numbers: map[uint64]bool{}, lines: map[Head]*tie{},
	}
	for _, h := range heads {
		t.lines[h.Head] = nil
		if host := t.header.Host; host != "" && host != h.Identity && len(t.result.Wrong) == 0 {
			t.result.Wrong = append(t.result.Wrong, fmt.Sprintf("%s:1: the header says that the trace is of the host %s, and the head of %s is of %s",
				file, host, h.At.Format(time.RFC3339), h.Identity))
		}
	}
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
	t.result.Unproven = t.unproven()
	return t.result, nil
}

// tracing is a check of a trace in progress.
type tracing struct {
	header  machine.TraceHeader
	machine string // whose the next record must be
	result  CheckedTrace
	runs    []run
	places  map[string]int  // the run that a record is in, by the record's digest
	numbers map[uint64]bool // of the records
	// seq and digest are of the record that the next one must follow where the trace is ready for one.
	seq    uint64
	digest string
	ready  bool
	lines  map[Head]*tie // of the heads that are asked for; nil where the trace has none for it
	begins time.Time     // when the first record was made, as it says
}

// run is records each of which has the digest of the one before: who vouches for one of them vouches for those before it in the run, and for no others.
type run struct {
	first, last uint64
	digest      string // of the last one
	vouched     uint64 // the last one that a head vouches for, 0 for none
}

// tie is a trace's line for a head.
type tie struct {
	name   string
	seq    uint64
	digest string
	proven bool // it is what the head was made of
}

func (t *tracing) take(l *machine.TraceLine) {
	switch {
	case l.Gap != nil:
		t.ready = false
	case l.Snapshot != nil:
		// After a gap it may be of a later record, never of this one and yet another.
		if (t.ready || l.Snapshot.Seq == t.seq) && (l.Snapshot.Seq != t.seq || l.Snapshot.Head != t.digest) {
			t.wrong(l, "the snapshot is not of the record before it")
		}
		t.seq, t.digest, t.ready = l.Snapshot.Seq, l.Snapshot.Head, true
	case l.Head != nil:
		t.head(l.Head)
	case l.Record != nil:
		t.record(l)
	}
}

// head keeps the first line for a head that is asked for.
func (t *tracing) head(l *machine.TraceHead) {
	s, err := Open(l.Signed)
	if err != nil {
		return
	}
	if kept, asked := t.lines[s.Head]; asked && kept == nil {
		t.lines[s.Head] = &tie{
			name: l.Name, seq: l.Seq, digest: l.Digest,
			proven: digest(l.Leaves) == s.Machines && slices.Contains(l.Leaves, leaf(l.Name, l.Seq, l.Digest)),
		}
	}
}

func (t *tracing) record(l *machine.TraceLine) {
	r := l.Record
	starts := !t.ready && r.Kind == machine.RecordStart
	switch {
	case starts:
	case !t.ready || r.Seq != t.seq+1:
		t.wrong(l, "record %d does not follow record %d: a record is missing or doubled", r.Seq, t.seq)
	case r.Prev != t.digest:
		t.wrong(l, "record %d does not continue the chain: record %d was changed, or this one", r.Seq, t.seq)
	}
	if r.Machine != t.machine {
		t.wrong(l, "the record is of the machine %q, not of %q", r.Machine, t.machine)
		t.machine = r.Machine // said once
	}
	t.seq, t.digest, t.ready = r.Seq, machine.HashRecord(l.Raw), true
	if n := len(t.runs); n == 0 || r.Seq != t.runs[n-1].last+1 || r.Prev != t.runs[n-1].digest {
		t.runs = append(t.runs, run{first: r.Seq})
	}
	last := &t.runs[len(t.runs)-1]
	last.last, last.digest = t.seq, t.digest
	t.places[t.digest], t.numbers[t.seq] = len(t.runs)-1, true
	if t.begins.IsZero() {
		t.begins = r.At
	}
	t.result.Records++
	t.result.Last = max(t.result.Last, t.seq)
}

func (t *tracing) wrong(l *machine.TraceLine, format string, args ...any) {
	t.result.Wrong = append(t.result.Wrong, fmt.Sprintf("%s:%d: ", l.Pos.File, l.Pos.Line)+fmt.Sprintf(format, args...))
}

// against holds the trace against a head.
func (t *tracing) against(h Signed) TraceCheck {
	l := t.lines[h.Head]
	switch {
	case l != nil:
	case h.At.After(t.header.Exported):
		return TraceCheck{Standing: TooNew, Reason: "the trace was exported before"}
	case t.begins.IsZero() || h.At.Before(t.begins.Truncate(time.Second)):
		return TraceCheck{Standing: journal.TooOld, Reason: "the trace begins after it"}
	default:
		return TraceCheck{Standing: Unproven, Reason: "nothing in the trace ties its records to this head: they were changed, or the line was taken out, or the " +
			"host has not kept the head; hold the journal itself against it"}
	}
	c := TraceCheck{Standing: journal.Departs, Name: l.name, Seq: l.seq}
	at, there := t.places[l.digest]
	switch {
	case !l.proven:
		c.Reason = "the trace's line for it was changed: it is not what the head was made of"
	case there:
		c.Standing, c.From = journal.Holds, t.runs[at].first
		t.runs[at].vouched = max(t.runs[at].vouched, l.seq)
	case l.seq > t.result.Last:
		c.Reason = fmt.Sprintf("the trace is cut at its end: it ends with record %d, and record %d was there", t.result.Last, l.seq)
	case !t.numbers[l.seq]:
		c.Standing, c.Reason = journal.TooOld, fmt.Sprintf("record %d is not in the trace", l.seq)
	default:
		c.Reason = fmt.Sprintf("record %d, or one before it, is not the one that was there", l.seq)
	}
	return c
}

// unproven are the records that no head was found to vouch for, but for those at the end of the last run where one vouches for its beginning.
func (t *tracing) unproven() (found []TraceRecords) {
	for i, r := range t.runs {
		switch {
		case r.vouched == 0:
			found = append(found, TraceRecords{First: r.first, Last: r.last})
		case r.vouched < r.last && i < len(t.runs)-1:
			found = append(found, TraceRecords{First: r.vouched + 1, Last: r.last})
		}
	}
	return found
}
