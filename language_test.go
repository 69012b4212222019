package statecraft_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/scenario"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// steps are the manifests of the guide to the language.
func steps(t *testing.T) (files []string) {
	t.Helper()
	all, err := filepath.Glob("docs/language/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if !strings.HasSuffix(file, scenario.Suffix) {
			files = append(files, file)
		}
	}
	if len(files) < 9 {
		t.Fatalf("the guide has %d manifests", len(files))
	}
	return files
}

// TestTheGuidesMachinesAreFaultless checks each step of the guide with the machine that it names, for hosts and nodes: of an event that only operators
// fire there is a note, and nothing else. The step's tests pass and see all of it.
func TestTheGuidesMachinesAreFaultless(t *testing.T) {
	files := runtime.FilesOf(os.DirFS("."), "docs/language")
	var backup *machine.Definition
	for _, file := range slices.Backward(steps(t)) { // backup comes last
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, found := machine.LoadText(machine.Text{File: file, Source: src, Files: files}, all.New(all.Services{}))
		if d == nil {
			t.Errorf("%s: %v", file, found)
			continue
		}
		set := []*machine.Definition{d}
		if backup == nil {
			backup = d
		} else {
			set = append(set, backup)
		}
		found = append(found, machine.CheckSet(set)...)
		for _, on := range []machine.Place{machine.OnHost, machine.OnNode} {
			found = append(found, machine.CheckOn(d, on, all.New(all.Services{}))...)
		}
		for _, f := range found {
			if f.Severity != diag.Note || f.Code != "SC412" {
				t.Errorf("%s: %s", file, f)
			}
		}
		report, list, err := scenario.Run(t.Context(), strings.TrimSuffix(file, ".yaml")+scenario.Suffix, all.New(all.Services{}))
		if err != nil || len(list) > 0 {
			t.Errorf("%s: %v %v", file, err, list)
			continue
		}
		for _, r := range report.Tests {
			for _, f := range r.Failures {
				t.Errorf("%s: %s\n%s", r.Name, f, strings.Join(r.Transcript, "\n"))
			}
		}
		if !report.Coverage.Full() {
			t.Errorf("%s: its tests cover %+v", file, report.Coverage)
		}
	}
}

// TestTheGuideShowsItsFiles wants every block of the guide to be cut out of one of its files as it stands, and a link to each file.
func TestTheGuideShowsItsFiles(t *testing.T) {
	guide, err := os.ReadFile("docs/language.md")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, file := range steps(t) {
		if !strings.Contains(string(guide), "("+strings.TrimPrefix(file, "docs/")+")") {
			t.Errorf("the guide has no link to %s", file)
		}
		for _, name := range []string{file, strings.TrimSuffix(file, ".yaml") + scenario.Suffix} {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, "\n"+string(text))
		}
	}
	blocks := strings.Split(string(guide), "```yaml\n")[1:]
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, "\n"+block) }) {
			t.Errorf("no file of the guide has\n%s", block)
		}
	}
	if len(blocks) < 10 {
		t.Errorf("the guide shows %d blocks", len(blocks))
	}
}
