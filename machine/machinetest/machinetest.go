// Package machinetest holds manifests against what machines did, in a user's own go test: Replay against a
// trace that a host exported, Golden against a transcript kept beside the manifest. It runs the production
// engine and no watcher: events and outcomes are given.
package machinetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/statecraft-io/statecraft/machine"
)

// Replay fails the test at the first record of a trace that the manifest would decide otherwise, with the
// line and both values. The manifest may be a later one than the trace was written with, which makes a
// trace from production a regression test.
func Replay(t testing.TB, manifestPath, tracePath string, catalogue machine.Catalogue) {
	t.Helper()
	d := load(t, manifestPath, catalogue)
	f, err := os.Open(tracePath)
	if err != nil {
		t.Fatalf("opening the trace: %v", err)
	}
	defer f.Close()
	trace, err := machine.NewTraceReader(tracePath, f)
	if err != nil {
		t.Fatal(err)
	}
	upgrade := func(text string) (*machine.Definition, error) {
		d, list := machine.Load(tracePath, []byte(text), catalogue)
		return d, list.Err()
	}
	if _, err := machine.Replay(trace, d, upgrade, nil); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, path string, catalogue machine.Catalogue) *machine.Definition {
	t.Helper()
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading the manifest: %v", err)
	}
	beside := os.DirFS(filepath.Dir(path))
	files := func(name string) ([]byte, error) { return fs.ReadFile(beside, filepath.ToSlash(filepath.Clean(name))) }
	d, list := machine.LoadText(machine.Text{File: path, Source: src, Files: files}, catalogue)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	if d == nil {
		t.Fatal(errors.New("the manifest gives no machine"))
	}
	return d
}
