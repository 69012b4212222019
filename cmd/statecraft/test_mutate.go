package main

import (
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime/scenario"
)

// What test --mutate tries without flags, as the tags of mutateFlags say.
const (
	defaultMost   = 300
	defaultSeed   = 1
	defaultWithin = 2 * time.Minute
)

// mutateFlags bound how much test --mutate tries.
type mutateFlags struct {
	Mutate bool          `help:"Put one defect each into the manifests, such as people make them, and name those that neither check nor the tests notice."`
	Most   int           `default:"300" help:"With --mutate: how many defects of a manifest are tried."`
	Seed   uint64        `default:"1" help:"With --mutate: chooses them where there are more."`
	Within time.Duration `default:"2m" help:"With --mutate: for how long a manifest's defects are tried."`
}

// mutateResult is what test --mutate --json prints.
type mutateResult struct {
	Files    []*scenario.Mutation `json:"files"`
	Findings diag.List            `json:"findings,omitempty"` // of files that could not be run
}

// usable refuses flags that do not go together.
func (f *mutateFlags) usable(v *testVerb) error {
	switch {
	case !f.Mutate && *f != (mutateFlags{Most: defaultMost, Seed: defaultSeed, Within: defaultWithin}):
		return usage("add --mutate, or leave them out", "--most, --seed and --within bound what --mutate tries, and say nothing without it")
	case !f.Mutate:
		return nil
	case v.Verbose:
		return usage("leave one of them out", "--mutate prints no records: it does not go with --verbose")
	case v.Coverage || v.Require || v.Match != "":
		return usage("leave the other one out", "--mutate runs all tests, many times: it does not go with --coverage, --require-coverage and --run")
	case f.Most < 1:
		return usage("write how many defects of a manifest are to be tried, such as --most 300", "--most %d tries nothing", f.Most)
	case f.Within <= 0:
		return usage("write for how long to try, such as --within 2m", "--within %s tries nothing", f.Within)
	}
	return nil
}

// mutate holds the mutants of every file's manifest against check and its tests, which must pass without them.
func (f *mutateFlags) mutate(inv *invocation, files []string) error {
	result := mutateResult{Files: []*scenario.Mutation{}}
	for _, file := range files {
		suite, findings, err := scenario.Load(file, catalogue())
		if err != nil {
			return fail(exitFailed, "check the path and who may read the file", "reading %q: %w", file, reason(err))
		}
		result.Findings = append(result.Findings, findings...)
		if suite == nil {
			continue
		}
		report, err := suite.Run(inv.ctx, nil)
		if err != nil {
			return err
		}
		if !report.Passed() {
			return fail(exitFailed, "mend them first; statecraft test "+file+" says why they fail",
				"%s: %s of %d failed without a defect", file, counted(report.Failed(), "test"), len(report.Tests))
		}
		m, err := suite.Mutate(inv.ctx, scenario.Bounds{Most: f.Most, Seed: f.Seed, Within: f.Within})
		if err != nil {
			return err
		}
		result.Files = append(result.Files, m)
		if !inv.json {
			f.print(inv, m)
		}
	}
	return f.conclude(inv, &result)
}

// print prints what was not noticed, each with its place, and a line of how many there were.
func (f *mutateFlags) print(inv *invocation, m *scenario.Mutation) {
	for _, u := range m.Unnoticed {
		inv.printf("%s: %s: %s\n", u.Position, u.Kind, u.What)
	}
	inv.printf("%s: %s of %d tried: check notices %d, the tests %d, neither %d\n",
		m.Machine, counted(m.Tried, "defect"), m.Mutants, m.Errors+m.Warnings, m.Tests, len(m.Unnoticed))
	if m.Tried < min(f.Most, m.Mutants) {
		inv.notef("%s: the time of %s was up; --within gives it more", m.Machine, f.Within)
	}
}

func (f *mutateFlags) conclude(inv *invocation, result *mutateResult) error {
	if inv.json {
		if err := inv.printJSON(result); err != nil {
			return err
		}
	} else if err := inv.printFindings(result.Findings); err != nil {
		return err
	}
	if result.Findings.HasErrors() {
		return fail(exitInvalid, "statecraft explain CODE says more about a finding", "not everything could be run: %s",
			counted(count(result.Findings, diag.Error), "error"))
	}
	return nil
}
