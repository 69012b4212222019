package statecraft_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestA03StateIsOpenedByStatefile refuses what opens a file whatever stands in its place, where hosts and nodes keep their state: a pipe would be
// waited for without end.
func TestA03StateIsOpenedByStatefile(t *testing.T) {
	may := map[string]string{
		"runtime/statefile/statefile.go": "it is the one that opens",
		"runtime/journal/file.go":        "segments are opened after survey has found that they are regular",
		"runtime/scenario/scenario.go":   "scenarios are named by who runs them",
		"registry/slots.go":              "folders, without waiting",
		"registry/slots_clean.go":        "what was unpacked, which is regular",
	}
	found := 0
	sources(t, func(path string, content []byte) {
		path = filepath.ToSlash(path)
		if !within(path, "runtime") && !within(path, "registry") && !within(path, "watchers/delivery") || strings.HasSuffix(path, "_test.go") {
			return
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, content, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("parsing %s: %v", path, err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			opens := ok && (x.Name == "os" && slices.Contains([]string{"Open", "OpenFile", "ReadFile", "WriteFile"}, s.Sel.Name) ||
				x.Name == "tls" && s.Sel.Name == "LoadX509KeyPair")
			if opens {
				found++
			}
			if opens && may[path] == "" {
				t.Errorf("%s: %s.%s waits where a pipe is in the place of the file; use runtime/statefile", set.Position(n.Pos()), x.Name, s.Sel.Name)
			}
			return true
		})
	}, ".go")
	if found == 0 {
		t.Error("the rule sees nothing")
	}
}
