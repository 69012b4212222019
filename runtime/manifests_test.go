package runtime_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
)

// keptFile is where the copy of a manifest has to be.
func keptFile(stateDir string, d *machine.Definition) string {
	return filepath.Join(stateDir, "manifests", d.Manifest.Digest.String()+".yaml")
}

// A record is never on the disk without the manifest that explains it.
func TestManifestIsKeptBeforeTheFirstRecord(t *testing.T) {
	dir := t.TempDir()
	def := load(t, newFakes(), tickerOf("1.0.0"))
	var looked atomic.Bool
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes(), Hook: func(point string) {
		if point != runtime.HookRecord || !looked.CompareAndSwap(false, true) {
			return
		}
		info, err := os.Stat(keptFile(dir, def))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("before the first record: %v, %v", info, err)
		}
	}})
	h.deploy(tickerOf("1.0.0"))
	text, err := runtime.ReadManifest(dir, def.Manifest.Digest.String())
	if err != nil || string(text) != string(def.Manifest.Source) || !looked.Load() {
		t.Errorf("kept %q, %v", text, err)
	}
}

func TestManifestOfAVolatileMachineIsNotKept(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(strings.Replace(tickerOf("1.0.0"), "initial_state", "durable: false\ninitial_state", 1))
	if files, err := filepath.Glob(filepath.Join(dir, "manifests", "*")); err != nil || len(files) > 0 {
		t.Errorf("kept %v, %v", files, err)
	}
}

func TestReadManifestTrustsNobody(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"))
	d, _ := h.Definition("ticker")
	if err := os.WriteFile(keptFile(dir, d), []byte("name: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := runtime.ReadManifest(dir, d.Manifest.Digest.String()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy that was edited: %q, %v", text, err)
	}
	outside := filepath.Join(dir, "outside.yaml")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, digest := range []string{"", "../outside", strings.Repeat("0", 64), strings.Repeat("0", 62)} {
		if _, err := runtime.ReadManifest(dir, digest); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("digest %q: %v", digest, err)
		}
	}
}

// A copy that is gone is made again by the next Deploy of its text.
func TestDeletedManifestIsKeptAnew(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"))
	d, _ := h.Definition("ticker")
	if err := os.Remove(keptFile(dir, d)); err != nil {
		t.Fatal(err)
	}
	h.deploy(tickerOf("1.0.0"))
	if _, err := runtime.ReadManifest(dir, d.Manifest.Digest.String()); err != nil {
		t.Error(err)
	}
}

// The next host repairs a copy that was edited.
func TestEditedManifestIsKeptAnew(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
		h.deploy(tickerOf("1.0.0"))
		d, _ := h.Definition("ticker")
		if _, err := runtime.ReadManifest(dir, d.Manifest.Digest.String()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(keptFile(dir, d), []byte("edited"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// The oldest texts make room, by when they were last deployed, as does what a killed process left behind.
func TestKeptManifestsAreBounded(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "manifests")
	used := load(t, newFakes(), tickerOf("1.0.0"))
	write := func(name, text string, age time.Duration) {
		t.Helper()
		path := filepath.Join(folder, name)
		at := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 1101 {
		write(fmt.Sprintf("%064x.yaml", i), "", time.Duration(i)*time.Minute)
	}
	write(filepath.Base(keptFile(dir, used)), string(used.Manifest.Source), 2000*time.Minute)
	write(".half123", "", 0)

	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"), tickerOf("2.0.0"))
	files, err := os.ReadDir(folder)
	if err != nil || len(files) < 1000 || len(files) > 1002 {
		t.Errorf("%d files, %v", len(files), err)
	}
	for name, want := range map[string]bool{
		fmt.Sprintf("%064x.yaml", 1099): false, fmt.Sprintf("%064x.yaml", 990): true,
		filepath.Base(keptFile(dir, used)): true, ".half123": false,
	} {
		if _, err := os.Stat(filepath.Join(folder, name)); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", name, err == nil, want)
		}
	}
}

// TestA14TheManifestsOfAllMachinesThatRunAreKept has more machines, each with a text of its own, than texts of old versions are kept.
func TestA14TheManifestsOfAllMachinesThatRunAreKept(t *testing.T) {
	const machines = 1300
	dir, folder := t.TempDir(), t.TempDir()
	write := func(version string) {
		t.Helper()
		for i := range machines {
			name := fmt.Sprintf("ticker%04d", i)
			text := strings.NewReplacer("\t", "  ", "name: ticker", "name: "+name).Replace(tickerOf(version))
			if err := os.WriteFile(filepath.Join(folder, name+".yaml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("1.0.0")
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	f := runtime.NewFollower(h.Host, []string{folder}, runtime.Unsigned, func(diag.List) {})
	if err := f.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := func() (n int) {
		for i := range machines {
			d, ok := h.Definition(fmt.Sprintf("ticker%04d", i))
			if !ok {
				continue
			}
			if _, err := runtime.ReadManifest(dir, d.Manifest.Digest.String()); err == nil {
				n++
			}
		}
		return n
	}
	if n := kept(); n != machines {
		t.Errorf("of %d machines that run %d manifests are kept", machines, n)
	}
	write("1.0.10")
	f.Look(t.Context())
	if n := kept(); n != machines {
		t.Errorf("after the reload, of %d machines that run %d manifests are kept", machines, n)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "manifests")); err != nil || len(files) > machines+1100 {
		t.Errorf("%d files are kept, %v", len(files), err)
	}
}

// A folder that cannot be written to costs the copies, not the machines.
func TestManifestThatCannotBeKept(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manifests"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"))
	if f, err := h.Fire(t.Context(), "ticker", "next", nil, "test"); err != nil || !f.Durable {
		t.Errorf("fired %+v, %v", f, err)
	}
}

// The history of a host that is gone is exported with nothing but its state folder.
func TestExportWithKeptManifests(t *testing.T) {
	dir := t.TempDir()
	h := runHost(t, runtime.Config{StateDir: dir, Catalogue: newFakes()})
	h.deploy(tickerOf("1.0.0"), other())
	old, _ := h.Definition("ticker")
	h.ticks(3)
	h.deploy(tickerOf("2.0.0"))
	h.ticks(3)
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if _, done, last := exported(t, dir); done != (runtime.Exported{Records: 8}) || last.Seq != 8 {
		t.Errorf("exported %+v, ends at record %d", done, last.Seq)
	}
	if err := os.Remove(keptFile(dir, old)); err != nil {
		t.Fatal(err)
	}
	if _, done, last := exported(t, dir); done != (runtime.Exported{Records: 4, LeftOut: 4, Gaps: 1}) || last.Seq != 8 {
		t.Errorf("without the old text: exported %+v, ends at record %d", done, last.Seq)
	}
}
