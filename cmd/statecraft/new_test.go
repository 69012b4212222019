package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/scenario"
)

// TestTemplatesPassTheirScenarios runs what new makes, as somebody's first look at a machine.
func TestTemplatesPassTheirScenarios(t *testing.T) {
	kinds, err := templates.ReadDir("templates")
	if err != nil || len(kinds) < 2 {
		t.Fatalf("%d kinds: %v", len(kinds), err)
	}
	for _, kind := range kinds {
		template := kind.Name()
		v := newVerb{Template: template, Name: "first"}
		files, err := v.render()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), v.Name)
		if err := writeNew(dir, files); err != nil {
			t.Fatal(err)
		}
		// Nodes keep what is published once it is at home: it must not be taken back although all is well.
		d, _, err := loadManifest(filepath.Join(dir, "machine.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if !d.Manifest.Marked() {
			t.Errorf("%s: it is written in format %d", template, d.Manifest.Format)
		}
		home := func(s machine.StateSpec) bool { return s.Home }
		begins := func(s machine.StateSpec) bool { return s.Name == d.Manifest.InitialState && s.Home }
		if slices.ContainsFunc(d.Manifest.States, home) && !slices.ContainsFunc(d.Manifest.States, begins) {
			t.Errorf("%s: it works in %s, and is not at home there", template, d.Manifest.InitialState)
		}
		report, list, err := scenario.Run(t.Context(), filepath.Join(dir, "machine_test.yaml"), catalogue())
		if err != nil || len(list) > 0 {
			t.Fatalf("%s: %v\n%s", template, err, list.Error())
		}
		for _, r := range report.Tests {
			for _, f := range r.Failures {
				t.Errorf("%s\n%s", f, strings.Join(r.Transcript, "\n"))
			}
		}
		if !report.Coverage.Full() {
			t.Errorf("%s: covers %+v", template, report.Coverage)
		}
	}
}
