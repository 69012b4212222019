package main

import (
	"encoding/json"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/statecraft-io/statecraft/registry"
)

// envelope writes what publish --prepare would, with nobody's signature, of a list of machines as pack prints it: envelope LIST FILE. With a
// third argument it is a spec that ended long ago.
func envelope(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: envelope LIST FILE [ended]")
	}
	spec := &registry.Spec{
		Type: registry.SpecType, Channel: "default", Audience: "main", Serial: 7,
		Issued: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Expires: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if len(args) == 3 {
		spec.Expires = spec.Issued.Add(time.Hour)
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &spec.Machines))
	made, err := registry.Sign(spec)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), append(made, '\n'), 0o644))
}
