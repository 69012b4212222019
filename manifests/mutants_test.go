package manifests_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine/mutant"
	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime/scenario"
	"github.com/statecraft-io/statecraft/watchers/all"
)

var (
	allMutants = flag.Bool("mutants", false, "try every mutant of every manifest, not one in ten")
	seed       = flag.Uint64("seed", 1, "chooses the mutants")
)

// checked are the kinds of defects that check finds wherever they are: they need no test.
var checked = []mutant.Kind{
	mutant.StateMisspelt, mutant.KeyMisspelt, mutant.TypeMisspelt, mutant.FinalGone, mutant.GuardNever, mutant.Rival, mutant.TimeoutLong,
}

// TestDefectsAreNoticed holds check and the scenario tests of every manifest against defects such as people make.
func TestDefectsAreNoticed(t *testing.T) {
	sum, kinds := &scenario.Noticed{}, map[mutant.Kind]*scenario.Noticed{}
	for _, path := range files(t) {
		m := mutate(t, path)
		sum.Add(&m.Noticed)
		for kind, n := range m.Kinds {
			if kinds[kind] == nil {
				kinds[kind] = &scenario.Noticed{}
			}
			kinds[kind].Add(n)
		}
		for _, u := range m.Unnoticed {
			t.Logf("%s: %s: %s", u.Position, u.Kind, u.What)
		}
	}
	for _, kind := range checked {
		if n := kinds[kind]; n != nil && n.Errors+n.Warnings < n.Tried {
			t.Errorf("%s: check finds %d of %d", kind, n.Errors+n.Warnings, n.Tried)
		}
	}
	t.Log(table(sum, kinds))
}

// mutate tries mutants of a manifest.
func mutate(t *testing.T, path string) *scenario.Mutation {
	t.Helper()
	src, err := manifests.Files.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	suite, list, err := scenario.Load(strings.TrimSuffix(path, ".yaml")+scenario.Suffix, all.New(all.Services{}))
	if suite == nil {
		t.Fatalf("%v %v", err, list)
	}
	bounds := scenario.Bounds{Most: len(mutant.Of(path, src)), Seed: *seed, Within: time.Hour}
	if !*allMutants {
		bounds.Most = (bounds.Most + 9) / 10
	}
	m, err := suite.Mutate(t.Context(), bounds)
	if err != nil || m.Tried < bounds.Most {
		t.Fatalf("%s: %d of %d mutants were tried: %v", path, m.Tried, bounds.Most, err)
	}
	return m
}

func table(sum *scenario.Noticed, kinds map[mutant.Kind]*scenario.Noticed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-30s %6s %6s %8s %6s %8s\n", "kind", "tried", "errors", "warnings", "tests", "nobody")
	row := func(name string, n *scenario.Noticed) {
		fmt.Fprintf(&b, "%-30s %6d %6d %8d %6d %8d\n", name, n.Tried, n.Errors, n.Warnings, n.Tests, n.Tried-n.Errors-n.Warnings-n.Tests)
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		row(string(kind), kinds[kind])
	}
	row("all", sum)
	return b.String()
}
