package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/vault"
)

// replayVerb decides the records of a trace again.
type replayVerb struct {
	Manifest string `placeholder:"FILE" help:"Decide by this manifest instead of the one in the trace."`
	Key      string `placeholder:"FILE" help:"The key of secrets of the host that the trace is of (secrets.key in its state folder). Without it, what depends on a secret is taken as it was recorded."`
	Trace    string `arg:"" help:"A trace as statecraft trace exports it, - for standard input."`
}

// replayResult is what replay --json prints.
type replayResult struct {
	Machine    string            `json:"machine"`
	Version    string            `json:"version"`
	Reproduced int               `json:"reproduced"` // records that were decided as they were recorded
	Gaps       int               `json:"gaps"`
	State      string            `json:"state"` // after the last record that was reproduced
	Data       map[string]any    `json:"data,omitempty"`
	Unseen     *machine.Unseen   `json:"unseen,omitempty"`     // secrets that the trace holds sealed, and the guards that read them
	Difference *replayDifference `json:"difference,omitempty"` // the first, where there is one
}

// replayDifference is where the manifest decides otherwise. Recorded and Decided are JSON.
type replayDifference struct {
	Line     int    `json:"line"`
	Seq      uint64 `json:"seq"`
	Field    string `json:"field"`
	Recorded string `json:"recorded"`
	Decided  string `json:"decided"`
}

// Run prints a line a record and fails at the first that is decided otherwise.
func (v *replayVerb) Run(inv *invocation) error {
	file, in, err := v.open(inv.stdin)
	if err != nil {
		return err
	}
	defer in.Close()
	trace, err := machine.NewTraceReader(file, in)
	if err != nil {
		return inv.traceError(file, err)
	}
	d, err := v.definition(inv, file, trace)
	if err != nil {
		return err
	}
	load := func(text string) (*machine.Definition, error) { return loadText(file, text) }
	r := replayResult{Machine: d.Manifest.Name, Version: d.Manifest.Version}
	o := machine.ReplayOptions{Load: load, Each: func(l *machine.TraceLine, _ *machine.Snapshot) { inv.replayed(&r, l) }}
	if v.Key != "" {
		key, err := vault.Read(v.Key)
		if err != nil {
			return fail(exitFailed, "name the file secrets.key of the state folder that the trace was exported from", "%w", err)
		}
		o.Vault = key
	}
	done, err := machine.ReplaySealed(trace, d, o)
	r.State, r.Data = done.Snapshot.State, done.Definition.ConcealData(done.Snapshot.Data)
	if len(done.Unseen.Values) > 0 {
		r.Unseen = &done.Unseen
	}
	return inv.replayEnd(file, &r, err)
}

// open returns the trace's name and content.
func (v *replayVerb) open(stdin io.Reader) (string, io.ReadCloser, error) {
	if v.Trace == "-" {
		return "standard input", io.NopCloser(stdin), nil
	}
	const hint = "name a trace as statecraft trace exports it, or - for standard input"
	info, err := os.Stat(v.Trace)
	if err != nil {
		return "", nil, usage(hint, "finding the trace %q: %w", v.Trace, reason(err))
	}
	if !info.Mode().IsRegular() {
		return "", nil, usage(hint, "the trace %q is not a file", v.Trace)
	}
	f, err := os.Open(v.Trace)
	if err != nil {
		return "", nil, fail(exitFailed, "check who may read the file", "reading the trace %q: %w", v.Trace, reason(err))
	}
	return v.Trace, f, nil
}

// definition is the machine that decides: the one asked for, or the one in the trace.
func (v *replayVerb) definition(inv *invocation, file string, trace *machine.TraceReader) (*machine.Definition, error) {
	if v.Manifest != "" {
		return inv.oneMachine(v.Manifest)
	}
	d, err := loadText(file, trace.Header().Manifest)
	if err != nil {
		return nil, inv.traceError(file, err)
	}
	return d, nil
}

// loadText loads a manifest that stands in a trace.
func loadText(file, text string) (*machine.Definition, error) {
	d, list := machine.Load(file+" (manifest)", []byte(text), catalogue())
	return d, list.Err()
}

// replayed counts a line that was good and prints it.
func (inv *invocation) replayed(r *replayResult, l *machine.TraceLine) {
	var text string
	switch {
	case l.Record != nil:
		r.Reproduced++
		text = machine.Transcript(l.Record)
	case l.Gap != nil:
		r.Gaps++
		text = gapText(l.Gap)
	case l.Manifest != nil:
		text = "-- another manifest decides from here on"
	default:
		return
	}
	if !inv.json {
		inv.printf("%s\n", text)
	}
}

func gapText(g *machine.TraceGap) string {
	if g.Records < 0 {
		return fmt.Sprintf("-- records are missing (%q)", g.Reason)
	}
	return fmt.Sprintf("-- %s missing (%q)", counted(int(g.Records), "record"), g.Reason)
}

// replayEnd prints what came of the replay.
func (inv *invocation) replayEnd(file string, r *replayResult, err error) error {
	var diff *machine.Difference
	if err != nil && !errors.As(err, &diff) {
		return inv.traceError(file, err)
	}
	if diff != nil {
		r.Difference = &replayDifference{
			Line: diff.Pos.Line, Seq: diff.Seq, Field: diff.Field, Recorded: diff.Recorded, Decided: diff.Decided,
		}
	}
	if inv.json {
		if err := inv.printJSON(r); err != nil {
			return err
		}
	}
	if diff != nil {
		fmt.Fprintln(inv.stderr, diff.Error())
		return fail(exitFailed, "", "%s reproduced, then the first difference", counted(r.Reproduced, "record"))
	}
	inv.unseen(r.Unseen)
	inv.notef("%s reproduced, %s is in %s", counted(r.Reproduced, "record"), r.Machine, r.State)
	return nil
}

// unseen says what the replay could not see.
func (inv *invocation) unseen(u *machine.Unseen) {
	if u == nil {
		return
	}
	inv.notef("sealed, and taken as recorded: %s; --key FILE opens them", strings.Join(u.Values, ", "))
	for _, g := range u.Guards {
		inv.notef("record %d: the guard of %s reads a secret and is taken as recorded: %s", g.Seq, g.Event, g.When)
	}
}

// traceError reports a trace that cannot be right.
func (inv *invocation) traceError(file string, err error) error {
	if inv.ctx.Err() != nil {
		return interrupted()
	}
	var list diag.List
	if !errors.As(err, &list) {
		return fmt.Errorf("replaying %s: %w", file, err)
	}
	fmt.Fprintln(inv.stderr, list.Error())
	return fail(exitInvalid, "", "%s is not a trace that can be replayed", file)
}
