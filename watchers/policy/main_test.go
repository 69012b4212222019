package policy

import (
	"context"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/conformance"
)

// TestMain gives the library a function that panics, as no policy is known that makes it do so by itself.
func TestMain(m *testing.M) {
	ast.RegisterBuiltin(&ast.Builtin{Name: "test.panic", Decl: types.NewFunction(types.Args(types.A), types.B)})
	topdown.RegisterBuiltinFunc("test.panic", func(topdown.BuiltinContext, []*ast.Term, func(*ast.Term) error) error { panic("by order") })
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Case{
		Type: Types()[0],
		Properties: `
policy: |
  package statecraft
  allow if input.n == 0
input: "{n: 0}"
`,
		Blocking: `
policy: |
  package statecraft
  allow if count(numbers.range(1, 1000000000000)) == 0
`,
	})
}

func prepareText(t testing.TB, properties string) (*watchers.Prepared, diag.List) {
	t.Helper()
	node, problems := strict.Parse("machine.yaml", []byte(properties))
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return Types()[0].Prepare(&machine.WatcherSpec{Name: "check", Type: "policy", Properties: node, Strict: true})
}

// bench is one watcher with a look of its own.
type bench struct {
	testing.TB
	watcher *watcher
	look    watchers.Look
}

func newBench(t testing.TB, properties string) *bench {
	t.Helper()
	prepared, problems := prepareText(t, properties)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return &bench{TB: t, watcher: prepared.New().(*watcher), look: watchers.Look{
		Machine: "enrollee", Watcher: "check", State: "placing", Identity: "n1.example", Directory: t.TempDir(),
		At: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Strict: true,
	}}
}

func (b *bench) ask() watchers.Report {
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	return b.watcher.Check(ctx, &b.look)
}
