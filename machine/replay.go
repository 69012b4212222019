package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// LoadManifest makes a definition of a manifest's text, as found in a trace.
type LoadManifest func(text string) (*Definition, error)

// Difference is the first place where a definition decides otherwise than a record says.
type Difference struct {
	Pos      diag.Position
	Seq      uint64
	Field    string // JSON name of the record's field
	Recorded string // JSON
	Decided  string // JSON
}

// Error names the place, the field and both values.
func (e *Difference) Error() string {
	return fmt.Sprintf("%s: %s record %d: %s was recorded as %s, the manifest decides %s\n"+
		"  hint: the manifest, or the engine, changed since; where that is meant, record the trace again",
		e.Pos, codeTraceDiffer, e.Seq, e.Field, e.Recorded, e.Decided)
}

// Replay decides every record of a trace again and returns the state after the last one. The error is nil
// where all are reproduced, a *Difference at the first that is not, and a diag.List where the trace
// itself cannot be right: a line that is none, a missing record, a broken chain of digests.
//
// d is usually what load makes of the header's manifest. Another one is held against the same events: what
// must differ, the digest and where in the manifest a guard stands, is not compared, and changes of the
// manifest inside of the trace are not followed. each, which may be nil, sees every line that was good.
//
// What is sealed in the trace is not seen: what depends on it is taken as it was recorded.
func Replay(t *TraceReader, d *Definition, load LoadManifest, each func(*TraceLine, *Snapshot)) (Snapshot, error) {
	done, err := ReplaySealed(t, d, ReplayOptions{Load: load, Each: each})
	return done.Snapshot, err
}

// ReplayOptions are what a replay may be given. The zero value is none of it.
type ReplayOptions struct {
	Load  LoadManifest
	Vault Vault // opens what is sealed in the trace
	Each  func(*TraceLine, *Snapshot)
}

// Replayed is what came of a replay.
type Replayed struct {
	Snapshot   Snapshot    // after the last record that was good; what could be opened is in clear
	Definition *Definition // that decided it
	Unseen     Unseen
}

// ReplaySealed is Replay of a trace in which secrets are sealed. The lines that Each is given are as they were read.
func ReplaySealed(t *TraceReader, d *Definition, o ReplayOptions) (Replayed, error) {
	p := &replayer{ReplayOptions: o, d: d, machine: t.header.Machine, foreign: d.digest != t.header.Digest}
	for {
		l, err := t.Next()
		if errors.Is(err, io.EOF) {
			return p.done(), nil
		}
		if err == nil {
			err = p.take(l)
		}
		if err != nil {
			return p.done(), err
		}
		if o.Each != nil {
			o.Each(l, &p.s)
		}
	}
}

// replayer is a replay in progress.
type replayer struct {
	ReplayOptions
	d       *Definition
	machine string
	foreign bool // d is not what decided the trace
	s       Snapshot
	ready   bool // s is the state before the next record
	unseen  Unseen
}

func (p *replayer) done() Replayed {
	return Replayed{Snapshot: p.s, Definition: p.d, Unseen: p.unseen}
}

func (p *replayer) take(l *TraceLine) error {
	switch {
	case l.Gap != nil:
		p.ready = false
		return nil
	case l.Snapshot != nil:
		return p.takeSnapshot(l)
	case l.Manifest != nil:
		return p.takeManifest(l)
	case l.Head != nil:
		return nil // of use to who has the heads that were published
	default:
		return p.takeRecord(l)
	}
}

func (p *replayer) takeSnapshot(l *TraceLine) error {
	opened, closed := OpenSnapshot(l.Snapshot, p.machine, p.Vault)
	p.noteUnseen(closed)
	if p.ready && toJSON(opened) != toJSON(p.s) {
		return &Difference{Pos: l.Pos, Seq: p.s.Seq, Field: "snapshot", Recorded: toJSON(p.concealed(*opened)), Decided: toJSON(p.concealed(p.s))}
	}
	p.s, p.ready = *opened, true
	return nil
}

// concealed is a snapshot as it may be shown.
func (p *replayer) concealed(s Snapshot) Snapshot {
	r := p.d.Conceal(&Record{Set: s.Data, Arguments: s.Input})
	s.Data, s.Input = r.Set, r.Arguments
	return s
}

func (p *replayer) takeManifest(l *TraceLine) error {
	if p.foreign || p.Load == nil {
		return nil
	}
	d, err := p.Load(*l.Manifest)
	if err != nil {
		return fault(l, codeTraceLoad, "replay with the release that wrote the trace", "the manifest that decides from here on does not load: %v", err)
	}
	p.d = d
	return nil
}

func (p *replayer) takeRecord(l *TraceLine) error {
	if !p.ready && l.Record.Kind == RecordStart {
		p.s, p.ready = Snapshot{}, true
	}
	if err := p.chain(l); err != nil {
		return err
	}
	opened := p.open(l.Record)
	decided := p.decide(opened)
	p.unite(opened, &decided)
	if diff := p.compare(opened, &decided); diff != nil {
		diff.Pos = l.Pos
		return diff
	}
	p.s = p.s.Apply(opened, HashRecord(l.Raw))
	return nil
}

// chain holds a record against the one before it.
func (p *replayer) chain(l *TraceLine) error {
	r := l.Record
	switch {
	case !p.ready:
		return fault(l, codeTraceSeq, "a snapshot line must come before the first record that is not the machine's start; export the trace again",
			"record %d does not follow anything", r.Seq)
	case r.Seq != p.s.Seq+1:
		return fault(l, codeTraceSeq, "a line was lost, doubled or moved; export the trace again", "record %d follows record %d", r.Seq, p.s.Seq)
	case r.Prev != p.s.Head:
		return fault(l, codeTraceChain, "the trace was edited; export it again from the host",
			"record %d does not continue record %d: that one's digest is %s, not %s", r.Seq, p.s.Seq, p.s.Head, r.Prev)
	default:
		return nil
	}
}

// decide makes the record again.
func (p *replayer) decide(r *Record) Record {
	switch {
	case r.Kind == RecordStart:
		return p.d.Start(Origin{Instance: r.Instance, Input: r.Arguments, Cause: r.Cause}, r.At)
	case r.Kind == RecordRecovery:
		return withArguments(p.d.Recover(&p.s, r.At), r)
	case r.Kind == RecordUpgrade:
		return withArguments(p.d.Replace(&p.s, r.At), r)
	case r.Kind == RecordEffect:
		return p.d.Effect(&p.s, r.Cause.Name, r.At)
	case r.Kind == RecordRefused && strings.HasPrefix(r.Reason, unrecorded):
		same := p.d.next(&p.s, r.At)
		same.Kind, same.Event, same.Outcome, same.Cause, same.Reason = r.Kind, r.Event, r.Outcome, r.Cause, r.Reason
		same.Message = r.Message
		return same
	default:
		return p.step(r)
	}
}

// withArguments gives a record the arguments that came from outside.
func withArguments(decided Record, r *Record) Record {
	decided.Arguments = r.Arguments
	return decided
}

// compare finds the first field, in the order in which they help to understand, that differs.
func (p *replayer) compare(want, got *Record) *Difference {
	wantGuards, gotGuards := want.Guards, got.Guards
	if p.foreign {
		wantGuards, gotGuards = unplaced(wantGuards), unplaced(gotGuards)
		got.Digest, got.Groups = want.Digest, want.Groups
	}
	for i, f := range comparisons(want, got, wantGuards, gotGuards) {
		if !reflect.DeepEqual(f.want, f.got) {
			shown := comparisons(p.d.Conceal(want), p.d.Conceal(got), wantGuards, gotGuards)[i]
			return &Difference{Seq: want.Seq, Field: f.name, Recorded: toJSON(shown.want), Decided: toJSON(shown.got)}
		}
	}
	return nil
}

// comparison is a field of a record as it was recorded and as it is decided now.
type comparison struct {
	name      string
	want, got any
}

func comparisons(want, got *Record, wantGuards, gotGuards []GuardValue) []comparison {
	return []comparison{
		{"machine", want.Machine, got.Machine}, {"digest", want.Digest, got.Digest},
		{"guards", wantGuards, gotGuards}, {"kind", want.Kind, got.Kind}, {"reason", want.Reason, got.Reason},
		{"from", want.From, got.From}, {"to", want.To, got.To}, {"groups", want.Groups, got.Groups}, {"set", want.Set, got.Set},
		{"epoch", want.Epoch, got.Epoch}, {"event", want.Event, got.Event}, {"outcome", want.Outcome, got.Outcome},
		{"message", want.Message, got.Message},
		{"cause", want.Cause, got.Cause}, {"payload", want.Payload, got.Payload}, {"input", want.Input, got.Input},
		{"instance", want.Instance, got.Instance}, {"arguments", want.Arguments, got.Arguments},
	}
}

// unplaced drops where in the manifest guards stand.
func unplaced(guards []GuardValue) []GuardValue {
	var out []GuardValue
	for _, g := range guards {
		g.Transition = 0
		out = append(out, g)
	}
	return out
}

func fault(l *TraceLine, code diag.Code, hint, format string, args ...any) error {
	var list diag.List
	list.Add(diag.Error, code, l.Pos, hint, format, args...)
	return list
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
