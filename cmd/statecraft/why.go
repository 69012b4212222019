package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// whyVerb says how a machine came to where it is.
type whyVerb struct {
	stateFlags
	Last    int    `short:"n" default:"20" help:"How many of the last records to print; 0 is all that are kept."`
	Machine string `arg:"" help:"The machine."`
}

// whyResult is what why --json prints.
type whyResult struct {
	Machine string     `json:"machine"`
	Version string     `json:"version,omitempty"` // of the manifest that decided the last record, where the host kept it
	Running bool       `json:"running"`           // the host
	Entries []whyEntry `json:"entries"`           // oldest first
	digest  string     // of the last record
}

// whyEntry is a record as it was stored, or a gap in the records.
type whyEntry struct {
	Record json.RawMessage `json:"record,omitempty"`
	Gap    *journal.Gap    `json:"gap,omitempty"`
	text   string
}

// Run prints the last records, oldest first.
func (v *whyVerb) Run(inv *invocation) error {
	if v.Last < 0 {
		return usage("0 prints all", "-n %d is not a number of records", v.Last)
	}
	dir, err := v.host()
	if err != nil {
		return err
	}
	client := control.NewClient(dir)
	defer client.Close()
	r := whyResult{Machine: v.Machine, Running: true, Entries: []whyEntry{}}
	take := func(e runtime.HistoryEntry) error { return r.take(e, v.Last) }
	err = client.History(inv.ctx, v.Machine, take)
	if errors.Is(err, control.ErrNoHost) {
		r.Running = false
		err = v.recorded(inv, dir, take, err)
	}
	if err != nil {
		return hostError(err, dir)
	}
	if d := keptDefinition(dir, r.digest); d != nil {
		r.Version = d.Manifest.Version
	}
	return inv.why(r)
}

// recorded reads the log of a host that is not running.
func (v *whyVerb) recorded(inv *invocation, dir string, take func(runtime.HistoryEntry) error, noHost error) error {
	records := 0
	err := runtime.ReadHistory(inv.ctx, dir, v.Machine, func(e runtime.HistoryEntry) error {
		if e.Record != nil {
			records++
		}
		return take(e)
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return noHost
	case err != nil || records > 0:
		return err
	}
	kept, err := readRecorded(inv.ctx, dir, noHost)
	if err != nil {
		return err
	}
	if _, ok := kept.last[v.Machine]; !ok {
		return kept.unknown(v.Machine)
	}
	return nil
}

// take keeps the last entries.
func (r *whyResult) take(e runtime.HistoryEntry, last int) error {
	var entry whyEntry
	if e.Gap != nil {
		entry.Gap = e.Gap
		entry.text = gapText(&machine.TraceGap{Reason: e.Gap.Reason, First: e.Gap.First, Last: e.Gap.Last, Records: e.Gap.Records})
	} else {
		raw, err := recordJSON(e)
		if err != nil {
			return err
		}
		entry.Record, entry.text = raw, machine.Transcript(e.Record)
		r.digest = e.Record.Digest
	}
	if last > 0 && len(r.Entries) == last {
		r.Entries = slices.Delete(r.Entries, 0, 1)
	}
	r.Entries = append(r.Entries, entry)
	return nil
}

func recordJSON(e runtime.HistoryEntry) ([]byte, error) {
	if e.JSON != nil {
		return e.JSON, nil
	}
	raw, _, err := machine.EncodeRecord(e.Record)
	return raw, err
}

func (inv *invocation) why(r whyResult) error {
	if inv.json {
		return inv.printJSON(r)
	}
	if !r.Running {
		inv.notef("the host is not running; this is what it recorded of %s", strings.TrimSpace(r.Machine+" "+r.Version))
	}
	for _, e := range r.Entries {
		inv.printf("%s\n", e.text)
	}
	return nil
}
