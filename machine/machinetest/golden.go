package machinetest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/statecraft-io/statecraft/machine"
)

// Golden runs the events of a txtar file against the manifest in it and holds the transcript against the one
// wanted. With update it writes the file anew, so that the diff is the review. Sections:
//
//	-- machine.yaml --    the manifest
//	-- events --          one a line, see Run
//	-- transcript --      what is wanted, as machine.Transcript renders it
func Golden(t testing.TB, path string, catalogue machine.Catalogue, update bool) {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatalf("reading the golden file: %v", err)
	}
	d, list := machine.Load(path, section(archive, "machine.yaml"), catalogue)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	lines, err := Run(d, string(section(archive, "events")))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	got := strings.Join(lines, "\n") + "\n"
	if update {
		setSection(archive, "transcript", []byte(got))
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatalf("writing the golden file: %v", err)
		}
		return
	}
	if diff := cmp.Diff(string(section(archive, "transcript")), got); diff != "" {
		t.Errorf("%s: the transcript differs (-want +got); run with -update where that is meant:\n%s", path, diff)
	}
}

func section(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setSection(a *txtar.Archive, name string, data []byte) {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		i = len(a.Files)
		a.Files = append(a.Files, txtar.File{Name: name})
	}
	a.Files[i].Data = data
}
