package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestH77AFolderIsHeldAgainstItsSignature: whoever changes a file of it, adds one, takes the signature of another folder or of a cell's list, or has
// another key, runs nothing.
func TestH77AFolderIsHeldAgainstItsSignature(t *testing.T) {
	k := newKeys(t, 2)
	dir := filepath.Join(t.TempDir(), "web")
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	manifest := "name: web\nversion: 1.0.0\n"
	put("machine.yaml", manifest)
	put("lib/words", "a")
	_, err := VerifyFolder(dir, public(k...), begun)
	refusedFor(t, err, Unsigned)

	signed, err := SignFolder(dir, begun, begun.Add(30*day), k[0])
	if err != nil {
		t.Fatal(err)
	}
	got, err := VerifyFolder(dir, public(k...), begun.Add(29*day))
	if err != nil || got.Name != "web" || got.Version != "1.0.0" || got.Sums != signed.Sums || len(got.Signers) != 1 || got.Signers[0] != k[0].Public() ||
		got.Manifest != digestOf([]byte(manifest)) {
		t.Errorf("it is %+v, %v", got, err)
	}
	link := filepath.Join(t.TempDir(), "linked")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyFolder(link, public(k...), begun); err != nil {
		t.Errorf("by a link: %v", err)
	}
	_, err = VerifyFolder(dir, public(k[1]), begun)
	refusedFor(t, err, Unsigned)
	_, err = VerifyFolder(dir, nil, begun)
	refusedFor(t, err, Unsigned)
	_, err = VerifyFolder(dir, public(k...), begun.Add(30*day))
	refusedFor(t, err, Expired)
	_, err = VerifyFolder(dir, public(k...), begun.Add(-time.Hour))
	refusedFor(t, err, NotYet)

	folderChanges(t, dir, put, public(k...))
	tm := newTeam(t, 1, 1)
	for name, s := range map[string]*Spec{"a cell's list": tm.spec(1, "web"), "a list for hosts": tm.spec(1, "web")} {
		if name != "a cell's list" {
			s.Channel = OverlayChannel
		}
		if err := os.WriteFile(dir+SignedSuffix, sealed(t, s, k[0]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyFolder(dir, public(k...), begun); err == nil {
			t.Errorf("%s counts as the signature of a folder", name)
		}
	}
	put(".hidden", "b")
	if _, err := SignFolder(dir, begun, begun.Add(day), k[0]); err == nil {
		t.Error("a folder is signed with a file that no checksum covers")
	}
}

// folderChanges holds that nothing of a signed folder can be changed.
func folderChanges(t *testing.T, dir string, put func(name, text string), keys []identity.PublicKey) {
	t.Helper()
	for name, change := range map[string]func() (undo func()){
		"a changed file": func() func() { put("lib/words", "b"); return func() { put("lib/words", "a") } },
		"an added file": func() func() {
			put(".hidden", "b")
			return func() { _ = os.Remove(filepath.Join(dir, ".hidden")) }
		},
		"checksums of its own": func() func() {
			sums, err := os.ReadFile(filepath.Join(dir, SumsFile))
			if err != nil {
				t.Fatal(err)
			}
			put("lib/words", "b")
			put(SumsFile, strings.Replace(string(sums), digestOf([]byte("a")), digestOf([]byte("b")), 1))
			return func() { put("lib/words", "a"); put(SumsFile, string(sums)) }
		},
	} {
		undo := change()
		if _, err := VerifyFolder(dir, keys, begun); err == nil || !strings.Contains(err.Error(), "not as it was signed") {
			t.Errorf("%s: %v", name, err)
		}
		undo()
	}
}
