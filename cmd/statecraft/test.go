package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/scenario"
)

// testVerb runs the scenario tests of manifests.
type testVerb struct {
	Coverage bool   `help:"Name what the tests have not seen."`
	Require  bool   `name:"require-coverage" help:"Fail unless every state was entered and every transition taken."`
	Match    string `name:"run" placeholder:"REGEXP" help:"Run the tests whose names match only."`
	Verbose  bool   `short:"v" help:"Print the records of every test."`
	mutateFlags
	Paths []string `arg:"" name:"path" help:"Scenario files (NAME_test.yaml), manifests that have one, or directories; all files below a directory are run."`
}

// testResult is what test --json prints.
type testResult struct {
	Passed   bool               `json:"passed"`
	Files    []*scenario.Report `json:"files"`
	Findings diag.List          `json:"findings,omitempty"` // of files that could not be run
}

// Run runs the tests and fails when one of them does.
func (v *testVerb) Run(inv *invocation) error {
	if err := v.usable(v); err != nil {
		return err
	}
	match, err := v.matcher()
	if err != nil {
		return err
	}
	files, err := scenarioFiles(v.Paths)
	if err != nil {
		return err
	}
	if missing := withoutTests(v.Paths); v.Require && len(missing) > 0 {
		return fail(exitFailed, "write scenarios beside it; docs/scenarios.md says how", "%s has no tests", strings.Join(missing, ", "))
	}
	if v.Mutate {
		return v.mutate(inv, files)
	}
	result := testResult{Files: []*scenario.Report{}}
	for _, file := range files {
		report, findings, err := inv.testFile(file, match)
		if err != nil {
			return err
		}
		result.Findings = append(result.Findings, findings...)
		if report == nil {
			continue
		}
		result.Files = append(result.Files, report)
		if !inv.json {
			v.print(inv, report)
		}
	}
	return v.conclude(inv, &result)
}

func (v *testVerb) matcher() (func(string) bool, error) {
	if v.Match == "" {
		return nil, nil
	}
	if v.Require {
		return nil, usage("leave one of them out", "--run leaves tests out, so that --require-coverage cannot be met")
	}
	re, err := regexp.Compile(v.Match)
	if err != nil {
		return nil, usage("write a regular expression, such as --run 'maintenance|restart'", "--run: %w", err)
	}
	return re.MatchString, nil
}

// testFile runs one file. The report is nil where the findings say why it cannot be run.
func (inv *invocation) testFile(file string, match func(string) bool) (*scenario.Report, diag.List, error) {
	suite, findings, err := scenario.Load(file, catalogue())
	if err != nil {
		return nil, nil, fail(exitFailed, "check the path and who may read the file", "reading %q: %w", file, reason(err))
	}
	if suite == nil {
		return nil, findings, nil
	}
	report, err := suite.Run(inv.ctx, match)
	return report, findings, err
}

// shownRecords is how many records of a failed test are shown, the last ones.
const shownRecords = 40

func (inv *invocation) transcript(records []string, all bool) {
	if left := len(records) - shownRecords; left > 0 && !all {
		inv.printf("    %s before; --verbose shows them\n", counted(left, "record"))
		records = records[left:]
	}
	for _, line := range records {
		inv.printf("    %s\n", line)
	}
}

// print prints a line a test, what failed below it, and a line of what was seen in all.
func (v *testVerb) print(inv *invocation, r *scenario.Report) {
	for i := range r.Tests {
		t := &r.Tests[i]
		word := "ok  "
		if !t.Passed {
			word = inv.paint(red, "FAIL")
		}
		inv.printf("%s %s: %s\n", word, r.Machine, t.Name)
		for _, f := range t.Failures {
			inv.printf("  %s\n", strings.ReplaceAll(f.String(), "\n", "\n  "))
		}
		if v.Verbose || !t.Passed {
			inv.transcript(t.Transcript, v.Verbose)
		}
	}
	c := r.Coverage
	kinds := []struct {
		name string
		scenario.Covered
	}{{"states", c.States}, {"transitions", c.Transitions}, {"guards", c.Guards}, {"outcomes", c.Outcomes}}
	inv.printf("%s %s: %s", r.Machine, r.Version, counted(len(r.Tests), "test"))
	for _, k := range kinds {
		inv.printf(", %s %d/%d", k.name, k.Seen, k.Total)
	}
	inv.printf("\n")
	for _, k := range kinds {
		for _, missing := range k.Missing {
			if v.Coverage || v.Require && k.name != "guards" && k.name != "outcomes" {
				inv.printf("  %s not seen: %s\n", k.name, missing)
			}
		}
	}
}

// conclude prints what is left to say and decides how the program ends.
func (v *testVerb) conclude(inv *invocation, result *testResult) error {
	tests, failed, uncovered := 0, 0, []string(nil)
	for _, r := range result.Files {
		tests += len(r.Tests)
		failed += r.Failed()
		if v.Require && !r.Coverage.Full() {
			uncovered = append(uncovered, r.Machine)
		}
	}
	invalid := result.Findings.HasErrors()
	result.Passed = failed == 0 && !invalid && len(uncovered) == 0
	if inv.json {
		if err := inv.printJSON(result); err != nil {
			return err
		}
	} else if err := inv.printFindings(result.Findings); err != nil {
		return err
	}
	switch {
	case invalid:
		return fail(exitInvalid, "statecraft explain CODE says more about a finding", "not everything could be run: %s", counted(count(result.Findings, diag.Error), "error"))
	case failed > 0:
		return fail(exitFailed, "the lines below a test say what it wanted and what the machine did", "%s of %d failed", counted(failed, "test"), tests)
	case len(uncovered) > 0:
		return fail(exitFailed, "add tests for what was not seen", "not all states and transitions of %s are covered", strings.Join(uncovered, ", "))
	case tests == 0:
		return usage("statecraft test -v names all of them", "no test has a name that matches %q", v.Match)
	}
	inv.notef("%s passed", counted(tests, "test"))
	return nil
}

// scenarioFiles returns the scenario files that paths name, each once, in order.
func scenarioFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		found, err := scenariosAt(path)
		if err != nil {
			return nil, usage("name a NAME_test.yaml, a manifest beside one, or a directory that holds some", "%w", err)
		}
		for _, file := range found {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files, nil
}

func scenariosAt(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("finding %q: %w", path, reason(err))
	}
	if !info.IsDir() {
		if strings.HasSuffix(path, scenario.Suffix) {
			return []string{filepath.Clean(path)}, nil
		}
		beside := testsOf(filepath.Clean(path))
		if !isRegular(beside) {
			return nil, fmt.Errorf("%q has no %s beside it", path, filepath.Base(beside))
		}
		return []string{beside}, nil
	}
	found, err := below(path, func(name string) bool { return strings.HasSuffix(name, scenario.Suffix) })
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("there is no *%s below %q", scenario.Suffix, path)
	}
	return found, err
}

// below returns the files below a directory whose names are wanted.
func below(dir string, want func(name string) bool) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading %q: %w", path, reason(err))
		}
		if !d.IsDir() && want(d.Name()) {
			found = append(found, path)
		}
		return nil
	})
	return found, err
}

// testsOf is the scenario file of a manifest.
func testsOf(manifest string) string {
	return strings.TrimSuffix(manifest, filepath.Ext(manifest)) + scenario.Suffix
}

// withoutTests returns the manifests of machines below the directories of paths that have no scenario file.
func withoutTests(paths []string) []string {
	var missing []string
	for _, path := range paths {
		manifests, err := below(path, func(name string) bool { return name == runtime.ManifestName })
		if err != nil {
			continue // scenarioFiles has said so
		}
		for _, m := range manifests {
			if !isRegular(testsOf(m)) {
				missing = append(missing, m)
			}
		}
	}
	return missing
}
