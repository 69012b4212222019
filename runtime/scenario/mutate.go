package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/mutant"
	"github.com/statecraft-io/statecraft/runtime"
)

// Bounds are how much is tried of a manifest's mutants.
type Bounds struct {
	Most   int           // how many
	Seed   uint64        // chooses them where there are more
	Within time.Duration // for how long
}

// Mutation is what check and the tests of a file notice of the manifest's mutants. Its JSON only ever gains fields.
type Mutation struct {
	File      string                   `json:"file"` // of the manifest
	Machine   string                   `json:"machine"`
	Mutants   int                      `json:"mutants"` // that there are
	Noticed                            // of all that were tried
	Kinds     map[mutant.Kind]*Noticed `json:"kinds"`
	Unnoticed []Unnoticed              `json:"unnoticed"`
}

// Noticed counts mutants by who notices them first: check with an error, check with a warning, or a test.
type Noticed struct {
	Tried    int `json:"tried"`
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Tests    int `json:"tests"`
}

// Add adds other counts.
func (n *Noticed) Add(o *Noticed) {
	n.Tried, n.Errors, n.Warnings, n.Tests = n.Tried+o.Tried, n.Errors+o.Errors, n.Warnings+o.Warnings, n.Tests+o.Tests
}

// Unnoticed is a defect that neither check nor a test has noticed, at its place in the manifest.
type Unnoticed struct {
	diag.Position
	Kind mutant.Kind `json:"kind"`
	What string      `json:"what"`
}

// Mutate holds mutants of the tested machine's manifest against check, and against the tests what check lets pass. The tests have passed. The
// error is that of ctx; where the time is up, fewer have been tried.
func (s *Suite) Mutate(ctx context.Context, b Bounds) (*Mutation, error) {
	path := s.manifestPath(s.doc.Machine.value)
	text, err := runtime.ReadText(path)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", reason(err))
	}
	all := mutant.Of(path, text.Source)
	m := &Mutation{File: path, Machine: s.Machine(), Mutants: len(all), Kinds: map[mutant.Kind]*Noticed{}, Unnoticed: []Unnoticed{}}
	checked := mutant.Check(text, s.catalogue)
	within, cancel := context.WithTimeout(ctx, b.Within)
	defer cancel()
	some := mutant.Sample(all, b.Most, b.Seed)
	for i := range some {
		if !m.try(within, s, checked, &some[i]) {
			break
		}
	}
	return m, ctx.Err()
}

// try counts one mutant, false where the time was up before.
func (m *Mutation) try(ctx context.Context, s *Suite, checked *mutant.Checked, one *mutant.Mutant) bool {
	if ctx.Err() != nil {
		return false
	}
	by := Noticed{Tried: 1}
	found, text := checked.Found(one)
	switch {
	case found.HasErrors():
		by.Errors++
	case slices.ContainsFunc(found, func(d diag.Diagnostic) bool { return d.Severity == diag.Warning }):
		by.Warnings++
	default:
		passes, err := s.passesWith(ctx, text)
		if err != nil {
			return false
		}
		if passes {
			m.Unnoticed = append(m.Unnoticed, Unnoticed{Position: one.Pos, Kind: one.Kind, What: one.What})
		} else {
			by.Tests++
		}
	}
	if m.Kinds[one.Kind] == nil {
		m.Kinds[one.Kind] = &Noticed{}
	}
	m.Kinds[one.Kind].Add(&by)
	m.Add(&by)
	return true
}

// passesWith reports whether every test passes with another text of the tested manifest. The error is that of ctx.
func (s *Suite) passesWith(ctx context.Context, text machine.Text) (bool, error) {
	other, _ := s.with(text)
	if other == nil {
		return false, ctx.Err()
	}
	seen := newCollector(other.subject())
	for _, t := range other.tests {
		passed := other.runTest(ctx, t, seen).Passed
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if !passed {
			return false, nil
		}
	}
	return true, nil
}
