package runtime_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func tickerText(version string) string {
	return strings.ReplaceAll(strings.TrimLeft(tickerOf(version), "\n"), "\t", "  ")
}

func TestFindMachines(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{
		"all/a/machine.yaml", "all/b.yaml", "all/b_test.yaml", "all/.c.yaml", "all/.d/machine.yaml", "all/e/other.yaml",
		"all/f/g/machine.yaml", "all/h.yaml/machine.yaml", "all/i.yaml/x", "all/README", "away/machine.yaml", "away/j", "none/README",
	} {
		writeFile(t, name, "")
	}
	link(t, "../away", "all/k")
	link(t, "../away/j", "all/l.yaml")
	link(t, "nowhere", "all/m.yaml")
	link(t, "nowhere", "all/n")
	for _, c := range []struct {
		path string
		want []string
		err  error
	}{
		{"all", []string{"all/a/machine.yaml", "all/b.yaml", "all/h.yaml/machine.yaml", "all/k/machine.yaml", "all/l.yaml", "all/m.yaml"}, nil},
		{"./all/a/", []string{"all/a/machine.yaml"}, nil},
		{"all/k", []string{"all/k/machine.yaml"}, nil},
		{"all/README", []string{"all/README"}, nil},
		{"none", nil, runtime.ErrNoMachine},
		{os.DevNull, nil, runtime.ErrNoMachine},
		{"nothing", nil, fs.ErrNotExist},
		{"", nil, fs.ErrNotExist},
	} {
		got, err := runtime.FindMachines(c.path)
		if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, c.err) {
			t.Errorf("%q: %v, -want +got\n%s", c.path, err, diff)
		}
	}
	got, err := runtime.FindAll([]string{"away", "./away/machine.yaml", "nothing", "all/a", "none"})
	if diff := cmp.Diff([]string{"all/a/machine.yaml", "away/machine.yaml"}, got); diff != "" {
		t.Errorf("of several paths, -want +got\n%s", diff)
	}
	if !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, runtime.ErrNoMachine) {
		t.Errorf("of several paths: %v", err)
	}
}

// What a link leads to is followed as if it were there, and so is another target of it.
func TestLinkedFolderIsFollowed(t *testing.T) {
	dir := t.TempDir()
	machines := filepath.Join(dir, "machines")
	writeFile(t, filepath.Join(machines, "README"), "")
	writeFile(t, filepath.Join(dir, "one", "machine.yaml"), tickerText("1.0.0"))
	writeFile(t, filepath.Join(dir, "two", "machine.yaml"), tickerText("3.0.0"))
	writeFile(t, filepath.Join(dir, "lone"), strings.ReplaceAll(tickerText("1.0.0"), "ticker", "lone"))
	link(t, "../one", filepath.Join(machines, "ticker"))
	link(t, "../lone", filepath.Join(machines, "lone.yaml"))
	h := runHost(t, runtime.Config{Catalogue: newFakes()})
	f := runtime.NewFollower(h.Host, []string{machines}, runtime.Unsigned, func(diag.List) {})
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := func(name, version string) {
		t.Helper()
		f.Look(t.Context())
		if d, _ := h.Definition(name); d == nil || d.Manifest.Version != version {
			t.Errorf("%s runs %+v, want version %s", name, d, version)
		}
	}
	want("ticker", "1.0.0")
	writeFile(t, filepath.Join(dir, "one", "machine.yaml"), tickerText("2.0.0-changed"))
	want("ticker", "2.0.0-changed")
	link(t, "../two", filepath.Join(machines, "next"))
	if err := os.Rename(filepath.Join(machines, "next"), filepath.Join(machines, "ticker")); err != nil {
		t.Fatal(err)
	}
	want("ticker", "3.0.0")
	writeFile(t, filepath.Join(dir, "lone"), strings.ReplaceAll(tickerText("2.0.0-changed"), "ticker", "lone"))
	want("lone", "2.0.0-changed")
}

// The host writes YAML files into its state folder; one that lies in a machine's folder makes no new machine of it.
func TestStateFolderInsideAMachine(t *testing.T) {
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "machine.yaml"), tickerText("1.0.0"))
	h := runHost(t, runtime.Config{Catalogue: newFakes(), StateDir: filepath.Join(folder, "state")})
	f := runtime.NewFollower(h.Host, []string{folder}, runtime.Unsigned, func(diag.List) {})
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := func() uint64 {
		t.Helper()
		f.Look(t.Context())
		fired, err := h.Fire(t.Context(), "ticker", "next", nil, "test")
		if err != nil {
			t.Fatal(err)
		}
		return fired.Record.Seq
	}
	if seq := next(); seq != 2 {
		t.Errorf("the event after the start has number %d, want 2", seq)
	}
	writeFile(t, filepath.Join(folder, "other", "values.yaml"), "a: b\n")
	if seq := next(); seq != 4 {
		t.Errorf("the event after a file of the machine's own was new has number %d, want 4", seq)
	}
}
