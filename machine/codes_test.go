package machine

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/statecraft-io/statecraft/machine/diag"
)

// ownedElsewhere tells the codes that this package cannot find in a document: those of properties are
// tested beside the watcher types, those of scenario files and traces beside their readers.
func ownedElsewhere(code diag.Code) bool {
	return code >= "SC250" && code < "SC300" || code >= "SC330" && code < "SC400" || code >= "SC430" && code < "SC480" || code >= "SC600" || code == "SC022" || code == "SC428" || code == "SC510"
}

func TestCodesShowWhatTheySay(t *testing.T) {
	for _, e := range diag.Entries() {
		if ownedElsewhere(e.Code) {
			continue
		}
		bad := e.Bad
		if bad == "" {
			bad = oversized[e.Code]
		}
		if got := codesIn(bad); !slices.Equal(got, []diag.Code{e.Code}) {
			t.Errorf("%s: the bad example gives %v:\n%s", e.Code, got, findings(filesOf(bad)))
		}
		if got := codesIn(e.Good); e.Good != "" && len(got) > 0 {
			t.Errorf("%s: the good example gives %v:\n%s", e.Code, got, findings(filesOf(e.Good)))
		}
	}
}

// oversized are documents too large to be printed as examples.
var oversized = map[diag.Code]string{
	"SC002": strings.Repeat("# padding\n", 120_000),
	"SC014": strings.Repeat("[", 70) + strings.Repeat("]", 70),
	"SC015": "[" + strings.Repeat("a,", 200_001) + "a]",
}

// filesOf splits an example of several files.
func filesOf(example string) []txtar.File {
	if archive := txtar.Parse([]byte(example)); len(archive.Files) > 0 {
		return archive.Files
	}
	return []txtar.File{{Name: "machine.yaml", Data: []byte(example)}}
}

func codesIn(example string) []diag.Code {
	var codes []diag.Code
	for _, code := range codePattern.FindAllString(findings(filesOf(example)), -1) {
		codes = append(codes, diag.Code(code))
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

var (
	codePattern = regexp.MustCompile(`SC\d{3}`)
	codeLiteral = regexp.MustCompile(`"(SC\d{3})"`)
)

// TestCodesAreComplete holds that every code in the project's source is documented, and every documented
// one is in use.
func TestCodesAreComplete(t *testing.T) {
	var documented []diag.Code
	for _, e := range diag.Entries() {
		documented = append(documented, e.Code)
		if e.Title == "" || e.Explanation == "" || (e.Bad == "") != (e.Good == "") {
			t.Errorf("%s: incomplete entry", e.Code)
		}
	}
	if diff := cmp.Diff(codesInSource(t, ".."), documented); diff != "" {
		t.Errorf("codes of the source and of diag.Entries differ (-in use +documented):\n%s", diff)
	}
}

func codesInSource(t *testing.T, root string) []diag.Code {
	var codes []diag.Code
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		table := filepath.Base(filepath.Dir(path)) == "diag" && strings.HasPrefix(filepath.Base(path), "codes")
		if err != nil || entry.IsDir() || table || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range codeLiteral.FindAllSubmatch(src, -1) {
			codes = append(codes, diag.Code(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func TestExplain(t *testing.T) {
	if e, ok := diag.Explain("SC405"); !ok || e.Title != "competing transitions" {
		t.Errorf("SC405 is explained as %q, %v", e.Title, ok)
	}
	if e, ok := diag.Explain("SC999"); ok {
		t.Errorf("SC999 is explained as %q", e.Title)
	}
}
