package all

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/conformance"
)

// failing are cases that fail where those of cases do not: of most types, because the host has no service for them.
func failing() map[string]conformance.Case {
	return map[string]conformance.Case{
		"exec":       {Properties: "command: ./nothing"},
		"expression": {Properties: "fail_when: identity != ''"},
		"facts":      {Properties: "builtin: false\nsources: [{file: none.json}]"},
		"file":       {Properties: "path: none/motd\ncontents: hello\nowner: root\ngroup: root\nmode: '0644'"},
		"inventory":  {Properties: "known: '{{ lookup 1 }}'"},
		"policy":     {Properties: "query: data.x.allow\npolicy: |\n  package x\n  allow := {\"n\": numbers.range(1, 100000)}\n"},
		"schedule":   {Properties: "schedules: ['0 0 29 2 *']\nduration: 1m"},
		"timer":      {Properties: "timer: 1s", Spec: func(w *machine.WatcherSpec) { w.SuccessTransition = "" }},
		"token":      {Properties: "action: verify\npurpose: node\ntoken: data.token"},
	}
}

// TestEveryTypeSaysWhyItFailed fails for a type whose failure has no message.
func TestEveryTypeSaysWhyItFailed(t *testing.T) {
	for _, typ := range Types(Services{}) {
		if typ.Unsupported != "" {
			continue
		}
		t.Run(typ.Name, func(t *testing.T) {
			c, own := failing()[typ.Name]
			if !own {
				c = cases()[typ.Name]
			}
			rep, failed := failure(t, typ, c)
			if !failed {
				t.Fatalf("it does not fail, but reports %s (%s): there is no failing case for this type", rep.Outcome, rep.Message)
			}
			if machine.OneLine(rep.Message) == "" {
				t.Errorf("it reports %s and does not say why", rep.Outcome)
			}
		})
	}
}

// failure returns the first report of a type that is a failure, else the last one.
func failure(t *testing.T, typ watchers.Type, c conformance.Case) (rep watchers.Report, failed bool) {
	n, list := strict.Parse("failing.yaml", []byte(c.Properties))
	spec := &machine.WatcherSpec{Name: "w", Type: typ.Name, SuccessTransition: "good", FailTransition: "bad", Properties: n, Strict: true}
	if c.Spec != nil {
		c.Spec(spec)
	}
	prepared, found := typ.Prepare(spec)
	if list.HasErrors() || found.HasErrors() {
		t.Fatal(list, found)
	}
	now := time.Now().Round(0)
	look := &watchers.Look{
		Moment: watchers.Started, Machine: "m", Version: "1.0.0", Watcher: "w", State: "testing", Identity: "node.example",
		Directory: t.TempDir(), Scratch: t.TempDir(), At: now, Strict: true, Log: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	take := func(r watchers.Report) {
		if failed || r.Outcome == "" {
			return
		}
		if rep, failed = r, fails(typ, r.Outcome); failed {
			cancel()
		}
	}
	w := prepared.New()
	if p, ok := w.(watchers.Planner); ok {
		p.Plan(watchers.Planning{Moment: watchers.Entered, Now: now, Elapsed: 1, Since: now, Strict: true, Random: func(time.Duration) time.Duration { return 0 }})
	}
	switch w := w.(type) {
	case watchers.Listener:
		take(w.Listen(ctx, look, take))
	case watchers.Checker:
		take(w.Check(ctx, look))
	}
	return rep, failed
}

func fails(typ watchers.Type, outcome string) bool {
	for _, o := range typ.Outcomes {
		if o.Name == outcome {
			return o.Class == machine.Failure
		}
	}
	return outcome == machine.OutcomeFail
}

// TestNoFailureIsWrittenWithoutAMessage reads the code of all types: a report of a failure is written with its message, or gets it in the
// same function.
func TestNoFailureIsWrittenWithoutAMessage(t *testing.T) {
	bad := map[string]bool{"OutcomeFail": true, "OutcomeTimeout": true, "OutcomeError": true}
	for _, typ := range Types(Services{}) {
		for _, o := range typ.Outcomes {
			if o.Class == machine.Failure {
				bad[strings.ToLower("outcome"+strings.ReplaceAll(o.Name, "_", ""))] = true
			}
		}
	}
	found := 0
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, src, 0)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			function, ok := d.(*ast.FuncDecl)
			if !ok || function.Body == nil {
				continue
			}
			ast.Inspect(function, func(n ast.Node) bool {
				literal, ok := n.(*ast.CompositeLit)
				outcome, message := "", false
				if ok && isReport(literal.Type) {
					outcome, message = keysOf(literal)
				}
				if !bad[outcome] && !bad[strings.ToLower(outcome)] {
					return true
				}
				found++
				body := string(src[function.Pos()-file.FileStart : function.End()-file.FileStart])
				if !message && !strings.Contains(body, ".Message =") {
					t.Errorf("%s: a report of %s without a message", set.Position(literal.Pos()), outcome)
				}
				return true
			})
		}
		return nil
	})
	if err != nil || found < 8 {
		t.Errorf("%d reports were found, %v: the test looks in the wrong place", found, err)
	}
}

func isReport(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Report"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Report"
	}
	return false
}

// keysOf returns the name that a report's outcome is written with, and whether it has a message.
func keysOf(literal *ast.CompositeLit) (outcome string, message bool) {
	for _, e := range literal.Elts {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		switch key, _ := pair.Key.(*ast.Ident); key.Name {
		case "Message":
			message = true
		case "Outcome":
			switch v := pair.Value.(type) {
			case *ast.Ident:
				outcome = v.Name
			case *ast.SelectorExpr:
				outcome = v.Sel.Name
			}
		}
	}
	return outcome, message
}
