package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// ErrNotExportable is returned by Export.Write when no record is left that the trace could hold.
var ErrNotExportable = errors.New("no record can be exported")

// The reasons of gaps in a trace that are no gaps of the log.
const (
	gapOtherManifest = "decided by a manifest that is not at hand"
	gapNoSnapshot    = "nothing tells the state before"
)

// ReadCheckpoints calls f with the snapshots that the log in a state folder has of a machine, or for "" of all, oldest
// first: the places at which a history that was cut can be taken up.
func ReadCheckpoints(ctx context.Context, stateDir, name string, f func(name string, s *machine.Snapshot) error) error {
	return journal.ReadCheckpoints(ctx, journalDir(stateDir), name, func(e journal.Entry) error {
		var entry bookEntry
		if err := json.Unmarshal(e.Data, &entry); err != nil {
			return fmt.Errorf("reading the checkpoint of machine %q: %w", e.Key, err)
		}
		s, err := machine.DecodeSnapshot(entry.Snapshot)
		if err != nil {
			return fmt.Errorf("reading the checkpoint of machine %q: %w", e.Key, err)
		}
		return f(e.Key, s)
	})
}

// ReadSnapshots returns the last recorded snapshot of every machine of a state folder, by name, for a host that is not running.
func ReadSnapshots(ctx context.Context, stateDir string) (map[string]machine.Snapshot, error) {
	kept := newBook()
	if err := journal.ReadState(ctx, journalDir(stateDir), kept.replay); err != nil {
		return nil, err
	}
	last := map[string]machine.Snapshot{}
	for name, s := range kept.snapshots {
		last[name] = *s
	}
	return last, nil
}

// Export writes the history of one machine as a trace that can be replayed.
type Export struct {
	StateDir string // of a running or an ended host; it is only read
	Machine  string
	Host     string // for the header, may be empty
	// Definitions are manifests at hand, and Catalogue, where it is not nil, loads those that the host kept in StateDir.
	// Records that yet another one decided are left out, which the trace says.
	Definitions []*machine.Definition
	Catalogue   machine.Catalogue
	At          time.Time
}

// Exported counts what a trace holds.
type Exported struct {
	Records int
	LeftOut int // records that are in the log and not in the trace
	Gaps    int
}

// Write writes the trace. The error is ErrNotExportable, with nothing written, where there is no record for it.
func (e Export) Write(ctx context.Context, w io.Writer) (Exported, error) {
	x := &exporter{Export: e, w: w, checkpoints: map[uint64]*machine.Snapshot{}, known: map[string]*machine.Definition{}}
	for _, d := range e.Definitions {
		x.known[d.Manifest.Digest.String()] = d
	}
	err := ReadCheckpoints(ctx, e.StateDir, e.Machine, func(_ string, s *machine.Snapshot) error {
		x.checkpoints[s.Seq] = s
		return nil
	})
	if err == nil {
		err = ReadHistory(ctx, e.StateDir, e.Machine, x.take)
	}
	if err == nil {
		err = x.end()
	}
	if err == nil {
		err = x.headLines(ctx)
	}
	if ctx.Err() != nil { // what reads the journal may still be at it
		return Exported{}, context.Cause(ctx)
	}
	return x.done, err
}

// exporter is an export in progress.
type exporter struct {
	Export
	w           io.Writer
	trace       *machine.TraceWriter // nil before the first record that can be exported
	checkpoints map[uint64]*machine.Snapshot
	known       map[string]*machine.Definition // by digest, nil where none is at hand
	digest      string                         // of the manifest that decides in the trace
	last        machine.Snapshot               // after the last record that was read
	follows     bool                           // last is the state before the next record
	gap         *machine.TraceGap              // before the next record, not yet written
	ours        bool                           // the gap is this machine's
	done        Exported
}

func (x *exporter) take(e HistoryEntry) error {
	if e.Gap != nil {
		x.missing(e.Gap.Reason, e.Gap.First, e.Gap.Last, e.Gap.Records)
		return nil
	}
	r := e.Record
	if !x.follows || r.Seq != x.last.Seq+1 || r.Prev != x.last.Head {
		x.ours = x.ours || r.Kind != machine.RecordStart || x.last.Seq > 0
		if !x.resume(r) {
			x.leaveOut(gapNoSnapshot, r)
			return nil
		}
	}
	before := x.last
	x.last = x.last.Apply(r, machine.HashRecord(e.JSON))
	if x.definition(r.Digest) == nil {
		x.leaveOut(gapOtherManifest, r)
		return nil
	}
	return x.write(r, e.JSON, before)
}

// definition returns the manifest of a digest, nil where none is at hand that this release can load.
func (x *exporter) definition(digest string) *machine.Definition {
	if d, looked := x.known[digest]; looked || x.Catalogue == nil {
		return d
	}
	if text, err := ReadManifest(x.StateDir, digest); err == nil {
		x.known[digest], _ = machine.Load(digest+".yaml", text, x.Catalogue)
	} else {
		x.known[digest] = nil
	}
	return x.known[digest]
}

// resume finds the state before a record that does not follow the one before.
func (x *exporter) resume(r *machine.Record) bool {
	x.last, x.follows = machine.Snapshot{}, r.Kind == machine.RecordStart
	if s := x.checkpoints[r.Seq-1]; s != nil && s.Head == r.Prev {
		x.last, x.follows = *s, true
	}
	return x.follows
}

func (x *exporter) leaveOut(reason string, r *machine.Record) {
	x.done.LeftOut++
	x.ours = true
	x.missing(reason, r.At, r.At, 1)
}

// missing adds to the gap before the next record.
func (x *exporter) missing(reason string, first, last time.Time, records int64) {
	if x.gap == nil {
		x.gap = &machine.TraceGap{Reason: reason, First: first, Last: last, Records: records}
		return
	}
	x.gap.Last = last
	if x.gap.Records < 0 || records < 0 {
		x.gap.Records = -1
	} else {
		x.gap.Records += records
	}
}

// write writes a record, after what the reader needs to take it.
func (x *exporter) write(r *machine.Record, raw []byte, before machine.Snapshot) error {
	if err := x.manifest(r.Digest); err != nil {
		return err
	}
	if x.ours {
		if err := x.writeGap(); err != nil {
			return err
		}
		if before.Seq > 0 {
			if err := x.trace.Snapshot(before); err != nil {
				return err
			}
		}
	}
	x.gap, x.ours = nil, false
	x.done.Records++
	return x.trace.Record(raw)
}

// manifest begins the trace, or says that another manifest decides from here on.
func (x *exporter) manifest(digest string) (err error) {
	d := x.known[digest]
	switch {
	case x.trace == nil:
		x.trace, err = machine.NewTraceWriter(x.w, machine.HeaderFor(d, x.Host, x.At))
	case digest != x.digest:
		err = x.trace.Manifest(string(d.Manifest.Source))
	}
	x.digest = digest
	return err
}

func (x *exporter) writeGap() error {
	if x.gap == nil {
		x.gap = &machine.TraceGap{Reason: journal.GapDamage, First: x.last.Entered, Last: x.last.Entered, Records: -1}
	}
	x.done.Gaps++
	return x.trace.Gap(*x.gap)
}

// end writes what is missing after the last record.
func (x *exporter) end() error {
	if x.trace == nil {
		return fmt.Errorf("machine %q: %w", x.Machine, ErrNotExportable)
	}
	if x.ours && x.gap != nil {
		return x.writeGap()
	}
	return nil
}
