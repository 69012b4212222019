package manifests_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/scenario"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// files returns the paths of all embedded manifests, relative to this directory.
func files(t *testing.T) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(manifests.Files, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".yaml") && !strings.HasSuffix(path, scenario.Suffix) {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	return found
}

func TestManifestsHaveNoFindings(t *testing.T) {
	for _, path := range files(t) {
		src, err := manifests.Files.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := machine.Text{File: path, Source: src, Files: runtime.FilesIn(filepath.Dir(path))} // with the programs, which are not embedded
		_, list := machine.LoadText(text, all.New(all.Services{}))
		for _, f := range list {
			if f.Severity != diag.Note {
				t.Error(f)
			}
		}
	}
}

func TestScenariosCoverEveryManifest(t *testing.T) {
	for _, path := range files(t) {
		t.Run(filepath.Dir(path), func(t *testing.T) {
			report, list, err := scenario.Run(t.Context(), strings.TrimSuffix(path, ".yaml")+scenario.Suffix, all.New(all.Services{}))
			if err != nil || len(list) > 0 {
				t.Fatalf("%v %v", err, list)
			}
			for _, result := range report.Tests {
				for _, f := range result.Failures {
					t.Errorf("%s: %s\n%s", result.Name, f, strings.Join(result.Transcript, "\n"))
				}
			}
			if c := report.Coverage; !c.Full() {
				t.Errorf("states %v and transitions %v are not covered", c.States.Missing, c.Transitions.Missing)
			}
		})
	}
}

// TestExamplesCanBeCopied holds that an example has what it needs beside it: what it runs is executable, and a
// README says how to try it.
func TestExamplesCanBeCopied(t *testing.T) {
	examples, err := filepath.Glob("examples/*/machine.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, example := range examples {
		dir := filepath.Dir(example)
		readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil || !strings.Contains(string(readme), "statecraft run --allow-unsigned manifests/"+dir) {
			t.Errorf("%s: the README does not say how to run it (%v)", dir, err)
		}
		scripts, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scripts {
			info, err := s.Info()
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(s.Name()) == "" && info.Mode().IsRegular() && info.Mode().Perm()&0o111 == 0 {
				t.Errorf("%s/%s is not executable", dir, s.Name())
			}
		}
	}
}
