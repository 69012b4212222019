package statecraft_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the lists of tests into docs/faults.md")

// coded are the tests that are named by the code of a fault, with what the name says and the folders that they are in: by the number of the code.
func coded(t *testing.T) map[int]map[string][]string {
	t.Helper()
	name := regexp.MustCompile(`^Test((?:[A-H]\d+)+)[A-Z]`)
	number := regexp.MustCompile(`\d+`)
	tests := map[int]map[string][]string{}
	sources(t, func(path string, content []byte) {
		file, err := parser.ParseFile(token.NewFileSet(), path, content, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parsing %s: %v", path, err)
			return
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			codes := name.FindStringSubmatch(f.Name.Name)
			if codes == nil {
				continue
			}
			for _, text := range number.FindAllString(codes[1], -1) {
				n, _ := strconv.Atoi(text)
				if tests[n] == nil {
					tests[n] = map[string][]string{}
				}
				tests[n][f.Name.Name] = append(tests[n][f.Name.Name], filepath.ToSlash(filepath.Dir(path)))
			}
		}
	}, "_test.go")
	return tests
}

// listOf is the paragraph of docs/faults.md that names the tests of a code.
func listOf(tests map[string][]string) string {
	if len(tests) == 0 {
		return "No test has this code yet.\n"
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		folders := tests[name]
		slices.Sort(folders)
		fmt.Fprintf(&b, "- `%s` in %s\n", name, strings.Join(slices.Compact(folders), ", "))
	}
	return b.String()
}

// TestFaultsAreDescribed holds docs/faults.md against the tests: every code that a test's name has is described there, with its tests.
func TestFaultsAreDescribed(t *testing.T) {
	const page = "docs/faults.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	tests := coded(t)
	heading := regexp.MustCompile(`^[A-H]?(\d+)\. `)
	parts := strings.Split(string(text), "\n### ")
	for i, part := range parts[1:] {
		number := heading.FindStringSubmatch(part)
		if number == nil {
			t.Errorf("%s: the heading %q has no code", page, strings.SplitN(part, "\n", 2)[0])
			continue
		}
		n, _ := strconv.Atoi(number[1])
		section, next, follows := strings.Cut(part, "\n## ")
		words, _, _ := strings.Cut(section, "\n\n")
		section = strings.TrimRight(words, "\n") + "\n\n" + listOf(tests[n])
		if follows {
			section += "\n## " + next
		}
		parts[i+1] = section
		delete(tests, n)
	}
	for n, unknown := range tests {
		t.Errorf("%s says nothing of fault %d, which %v are named by", page, n, slices.Sorted(maps.Keys(unknown)))
	}
	want := strings.Join(parts, "\n### ")
	if want == string(text) {
		return
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s does not have the tests that there are: go test -run TestFaults . -update writes them", page)
}
