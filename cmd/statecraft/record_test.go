package main

import (
	"bytes"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/statecraft-io/statecraft/machine"
)

// record writes the trace of a machine that takes an operator's events, one a minute: record MANIFEST TRACE EVENT...
func record(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: record MANIFEST TRACE EVENT...")
	}
	d, list := machine.Load(args[0], []byte(ts.ReadFile(args[0])), catalogue())
	ts.Check(list.Err())
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	w, err := machine.NewTraceWriter(&b, machine.HeaderFor(d, "host", at))
	ts.Check(err)
	var s machine.Snapshot
	write := func(r machine.Record) {
		raw, head, err := machine.EncodeRecord(&r)
		ts.Check(err)
		ts.Check(w.Record(raw))
		s = s.Apply(&r, head)
	}
	write(d.Start(machine.Origin{}, at))
	for _, event := range args[2:] {
		at = at.Add(time.Minute)
		write(d.Step(&s, machine.Event{Name: event, Cause: machine.Cause{Kind: machine.CauseOperator, Identity: "alice"}}, at))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
}
