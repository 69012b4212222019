package manifests_test

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/statecraft-io/statecraft/manifests"
)

// TestPoliciesPassTheirOwnTests runs what `opa test` runs: the tests in Rego beside the policies, each policy having some.
func TestPoliciesPassTheirOwnTests(t *testing.T) {
	for folder, modules := range policies(t) {
		ran := map[string]int{}
		results, err := tester.NewRunner().SetDefaultRegoVersion(ast.RegoV1).SetModules(modules).RunTests(t.Context(), nil)
		if err != nil {
			t.Fatalf("%s: %v", folder, err)
		}
		for r := range results {
			ran[r.Location.File]++
			if !r.Pass() {
				t.Errorf("%s:%d: %s %v", r.Location.File, r.Location.Row, r, r.Error)
			}
		}
		for file := range modules {
			if tests, isTest := strings.CutSuffix(file, "_test.rego"); !isTest && ran[strings.TrimSuffix(file, ".rego")+"_test.rego"] == 0 {
				t.Errorf("%s has no tests that ran; write %s_test.rego", file, tests)
			}
		}
	}
}

// TestPoliciesAreFormatted holds that they are as `opa fmt` writes them.
func TestPoliciesAreFormatted(t *testing.T) {
	for _, modules := range policies(t) {
		for file := range modules {
			text, err := manifests.Files.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			formatted, err := format.SourceWithOpts(file, text, format.Opts{RegoVersion: ast.RegoV1})
			if err != nil || string(formatted) != string(text) {
				t.Errorf("%s is not formatted (%v); opa fmt --write makes it so", file, err)
			}
		}
	}
}

// policies are the embedded policies and their tests, by folder and path.
func policies(t *testing.T) map[string]map[string]*ast.Module {
	t.Helper()
	found := map[string]map[string]*ast.Module{}
	files, err := fs.Glob(manifests.Files, "*/*.rego")
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	for _, file := range files {
		text, err := manifests.Files.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		module, err := ast.ParseModuleWithOpts(file, string(text), ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		folder := path.Dir(file)
		if found[folder] == nil {
			found[folder] = map[string]*ast.Module{}
		}
		found[folder][file] = module
	}
	return found
}
