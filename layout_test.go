// Package statecraft_test holds the rules that the whole tree keeps: which way imports point, how long files
// and functions get, and what no file says. It has no code of its own to test.
package statecraft_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const module = "github.com/statecraft-io/statecraft"

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath                         string
	Standard                           bool
	Deps                               []string
	Imports, TestImports, XTestImports []string
}

// ours lists the packages of the module and, by path, everything that they are built from.
func ours(t *testing.T) (packages []goPackage, all map[string]goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Deps,Imports,TestImports,XTestImports", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, stderr.String())
	}
	all = map[string]goPackage{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("reading what go list says: %v", err)
		}
		all[p.ImportPath] = p
		if within(p.ImportPath, module) {
			packages = append(packages, p)
		}
	}
	if len(packages) < 5 {
		t.Fatalf("go list names %d packages of the module", len(packages))
	}
	return packages, all
}

// within reports whether a package is root or below it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// layers are the folders from the bottom; a package imports its own layer and those below.
var layers = []string{"machine", "registry", "watchers", "runtime", "cmd"}

// leaves may be imported from the layer of watchers on, although they lie in the runtime's folder.
var leaves = []string{module + "/runtime/identity", module + "/runtime/rpc", module + "/runtime/statefile"}

// layerOf returns the layer of a package of ours, -1 for the module's root and for packages of others.
func layerOf(path string) int {
	if slices.ContainsFunc(leaves, func(leaf string) bool { return within(path, leaf) }) {
		return slices.Index(layers, "registry")
	}
	return slices.IndexFunc(layers, func(l string) bool { return within(path, module+"/"+l) })
}

func TestImportsPointOneWay(t *testing.T) {
	packages, _ := ours(t)
	for _, p := range packages {
		for _, dep := range p.Deps {
			if layerOf(p.ImportPath) >= 0 && layerOf(dep) > layerOf(p.ImportPath) {
				t.Errorf("%s depends on %s, which lies above it", p.ImportPath, dep)
			}
		}
	}
}

// TestMachineIsPure holds the core to the libraries that decide, read and compute, and away from the packages
// of the standard library that reach out of the process.
func TestMachineIsPure(t *testing.T) {
	packages, all := ours(t)
	libraries := []string{module + "/machine", "github.com/expr-lang/expr", "github.com/looplab/fsm", "gopkg.in/yaml.v3"}
	for _, p := range packages {
		if !within(p.ImportPath, module+"/machine") || within(p.ImportPath, module+"/machine/machinetest") {
			continue
		}
		for _, dep := range p.Deps {
			known := slices.ContainsFunc(libraries, func(l string) bool { return within(dep, l) })
			if !known && !all[dep].Standard {
				t.Errorf("%s depends on %s, which the core must not", p.ImportPath, dep)
			}
		}
		for _, reaching := range []string{"os", "os/exec", "net", "net/http", "math/rand", "math/rand/v2", "log", "log/slog"} {
			if slices.Contains(p.Imports, reaching) {
				t.Errorf("%s imports %s, which the core must not", p.ImportPath, reaching)
			}
		}
	}
}

func TestYAMLHasOneImporter(t *testing.T) {
	packages, _ := ours(t)
	var importers []string
	for _, p := range packages {
		imports := slices.Concat(p.Imports, p.TestImports, p.XTestImports)
		if slices.Contains(imports, "gopkg.in/yaml.v3") || slices.Contains(imports, "go.yaml.in/yaml/v3") {
			importers = append(importers, p.ImportPath)
		}
	}
	if want := []string{module + "/machine/strict"}; !slices.Equal(importers, want) {
		t.Errorf("the YAML library is imported by %v, want %v", importers, want)
	}
}

// sources calls f with every file of the project that has one of the endings.
func sources(t *testing.T, f func(path string, content []byte), endings ...string) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == ".bin") {
			return filepath.SkipDir
		}
		if !d.Type().IsRegular() || !slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(path, e) }) {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		f(path, content)
		return nil
	})
	if err != nil {
		t.Fatalf("reading the tree: %v", err)
	}
	if seen == 0 {
		t.Fatalf("no file ends in %v", endings)
	}
}

// TestNothingIsLeftOver looks for what belongs to one person's machine or desk.
func TestNothingIsLeftOver(t *testing.T) {
	// Spelled in parts, so that this file does not find itself.
	notes := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	workplaces := regexp.MustCompile(`/wo` + `rk/|/ho` + `me/[a-z]|/ro` + `ot/go|/tm` + `p/(brief|probe)|\.\./sha` + `red/|\bsha` + `red/[A-Z]+\.md`)
	sources(t, func(path string, content []byte) {
		for n, line := range bytes.Split(content, []byte("\n")) {
			if notes.Match(line) || workplaces.Match(line) {
				t.Errorf("%s:%d: must not land: %s", path, n+1, line)
			}
		}
	}, ".go", ".md", ".yaml", ".yml", ".txtar", ".json", "Makefile", "run", "go.mod")
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	const longestFile, longestFunction = 500, 80
	sources(t, func(path string, content []byte) {
		if n := bytes.Count(content, []byte("\n")); n > longestFile {
			t.Errorf("%s has %d lines, more than %d", path, n, longestFile)
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, content, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parsing %s: %v", path, err)
			return
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first, last := files.Position(f.Pos()), files.Position(f.End())
			if n := last.Line - first.Line + 1; n > longestFunction {
				t.Errorf("%s: %s has %d lines, more than %d", first, f.Name.Name, n, longestFunction)
			}
		}
	}, ".go")
}

// TestRowsOfManifestsAreShort holds the manifests and their tests to rows that a person sees whole.
func TestRowsOfManifestsAreShort(t *testing.T) {
	const longest = 120
	sources(t, func(path string, content []byte) {
		if !strings.HasPrefix(path, "manifests/") {
			return
		}
		for i, row := range strings.Split(string(content), "\n") {
			if n := utf8.RuneCountInString(row); n > longest {
				t.Errorf("%s:%d has %d columns, more than %d", path, i+1, n, longest)
			}
		}
	}, ".yaml", ".rego")
}

// TestPackagesSayWhatTheyAreFor asks of every package for one comment in the usual form.
func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	comments := map[string]int{} // by directory
	sources(t, func(path string, content []byte) {
		if strings.HasSuffix(path, "_test.go") && filepath.Dir(path) != "." {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, content, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Errorf("parsing %s: %v", path, err)
			return
		}
		dir := filepath.Dir(path)
		comments[dir] += 0
		if file.Doc == nil {
			return
		}
		comments[dir]++
		want := "Package " + file.Name.Name + " "
		if file.Name.Name == "main" {
			want = "Command " + filepath.Base(dir) + " "
		}
		if !strings.HasPrefix(file.Doc.Text(), want) {
			t.Errorf("%s: the package comment does not begin with %q", path, want)
		}
	}, ".go")
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments, want 1", dir, n)
		}
	}
}

// TestDependenciesAreDocumented holds go.mod against docs/dependencies.md, in both directions.
func TestDependenciesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+/[^`]+)` \\| (v[^ ]+) ").FindAllSubmatch(doc, -1) {
		documented = append(documented, string(row[1])+" "+string(row[2]))
	}
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("reading go.mod: %v", err)
	}
	var mod struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatalf("reading go.mod: %v", err)
	}
	var required []string
	for _, r := range mod.Require {
		if !r.Indirect {
			required = append(required, r.Path+" "+r.Version)
		}
	}
	for _, m := range required {
		if !slices.Contains(documented, m) {
			t.Errorf("docs/dependencies.md has no row for %s", m)
		}
	}
	for _, m := range documented {
		if !slices.Contains(required, m) {
			t.Errorf("docs/dependencies.md documents %s, which go.mod does not require directly", m)
		}
	}
}
