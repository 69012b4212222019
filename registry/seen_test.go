package registry

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// spoil makes something of a file that nobody has written.
func spoil(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("rubbish\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// says fails unless the store says what is wrong with its files, in these words.
func says(t *testing.T, s *Store, words ...string) {
	t.Helper()
	all := strings.Join(s.Faults(), "\n")
	for _, w := range words {
		if !strings.Contains(all, w) {
			t.Errorf("it does not say %q:\n%s", w, all)
		}
	}
	if len(words) == 0 && all != "" {
		t.Errorf("it says:\n%s", all)
	}
}

// TestC18ASerialOutlivesItsFile spoils what was accepted last. Its serial still counts, also after a second start, and the store says so until
// the list is there again.
func TestC18ASerialOutlivesItsFile(t *testing.T) {
	tm := newTeam(t, 1, 1)
	dir := filepath.Join(t.TempDir(), "trust")
	s := tm.store(dir)
	if _, _, err := s.Accept(sealed(t, tm.spec(7, "web"), tm.signers...), want(begun)); err != nil {
		t.Fatal(err)
	}
	says(t, tm.reopen(dir))
	spoil(t, filepath.Join(dir, "spec.default.json"))
	for _, start := range []string{"the first start", "the second start"} {
		s = tm.reopen(dir)
		if _, _, err := s.Accept(sealed(t, tm.spec(6, "old"), tm.signers...), want(begun)); err == nil {
			t.Errorf("%s takes a list that is older than the one that was damaged", start)
		} else {
			refusedFor(t, err, Rollback)
		}
		if floor, err := s.Floor("default"); err != nil || floor != 7 {
			t.Errorf("%s: a publication has to exceed %d, %v", start, floor, err)
		}
		says(t, s, "spec.default.json", "serial 7")
	}
	if _, _, err := s.Accept(sealed(t, tm.spec(7, "web"), tm.signers...), want(begun)); err != nil {
		t.Error(err)
	}
	says(t, s)
	says(t, tm.reopen(dir))
}

// TestC18ASerialThatIsLostIsRefused spoils the list and what was kept apart of it. Nothing is taken until somebody who can look removes what is damaged.
func TestC18ASerialThatIsLostIsRefused(t *testing.T) {
	tm := newTeam(t, 1, 1)
	dir := filepath.Join(t.TempDir(), "trust")
	if _, _, err := tm.store(dir).Accept(sealed(t, tm.spec(7, "web"), tm.signers...), want(begun)); err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(dir, "spec.default.json"))
	spoil(t, filepath.Join(dir, "seen"))
	for range 2 {
		s := tm.reopen(dir)
		for serial := uint64(6); serial < 9; serial++ {
			_, _, err := s.Accept(sealed(t, tm.spec(serial, "web"), tm.signers...), want(begun))
			refusedFor(t, err, Rollback)
			if err != nil && !strings.Contains(err.Error(), "remove") {
				t.Errorf("it does not say what to do: %v", err)
			}
		}
		says(t, s, "spec.default.json")
		other := tm.spec(1, "web")
		other.Channel = "other"
		if _, err := s.Check(sealed(t, other, tm.signers...), Want{Channel: "other", Cell: "main", Now: begun}); err != nil {
			t.Errorf("a channel that nothing was lost of: %v", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "spec.default.json.damaged")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := tm.reopen(dir).Accept(sealed(t, tm.spec(6, "web"), tm.signers...), want(begun)); err != nil {
		t.Errorf("after what is damaged was removed: %v", err)
	}
}

// TestC18RootsOutliveTheirFile spoils the chain of roots after a key was rotated out. Who offers the chain as it was before does not bring the key back,
// and the last good list stays.
func TestC18RootsOutliveTheirFile(t *testing.T) {
	tm := newTeam(t, 1, 1)
	dir := filepath.Join(t.TempDir(), "trust")
	s := tm.store(dir)
	first, old, fresh := sealed(t, tm.root, tm.anchor), tm.signers[0], newKeys(t, 1)[0]
	if err := tm.next(s, RootChange{Role: RoleSpec, Remove: public(old), Add: public(fresh)}, tm.anchor); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(filepath.Join(dir, "roots.json"))
	if err != nil {
		t.Fatal(err)
	}
	good := sealed(t, tm.spec(7, "web"), fresh)
	if _, _, err := s.Accept(good, want(begun)); err != nil {
		t.Fatal(err)
	}
	chain := s.Chain()
	spoil(t, filepath.Join(dir, "roots.json"))
	for range 2 {
		s = tm.reopen(dir)
		says(t, s, "roots.json", "version 2")
		if _, err := s.AcceptRoot(first, begun); err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Accept(sealed(t, tm.spec(8, "evil"), old), want(begun))
		refusedFor(t, err, Rollback)
	}
	if _, err := s.AcceptRoot(chain[1], begun); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Accept(good, want(begun)); err != nil {
		t.Error(err)
	}
	says(t, s)
	if now, err := os.ReadFile(filepath.Join(dir, "roots.json")); err != nil || string(now) != string(second) {
		t.Errorf("the chain is not as it was: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "spec.default.json.damaged")); err == nil {
		t.Error("a list that is good was taken for damaged, as its root was not there")
	}
}

// TestC18AFolderWithoutWhatWasSeen is one of a release before this: what it holds is remembered when it is opened.
func TestC18AFolderWithoutWhatWasSeen(t *testing.T) {
	tm := newTeam(t, 1, 1)
	dir := filepath.Join(t.TempDir(), "trust")
	if _, _, err := tm.store(dir).Accept(sealed(t, tm.spec(7, "web"), tm.signers...), want(begun)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "seen")); err != nil {
		t.Fatal(err)
	}
	says(t, tm.reopen(dir))
	spoil(t, filepath.Join(dir, "spec.default.json"))
	_, _, err := tm.reopen(dir).Accept(sealed(t, tm.spec(6, "old"), tm.signers...), want(begun))
	refusedFor(t, err, Rollback)
}

// TestC18PipesInPlaceOfFiles holds nobody up, and counts as damage.
func TestC18PipesInPlaceOfFiles(t *testing.T) {
	tm := newTeam(t, 1, 1)
	for _, name := range []string{"roots.json", "spec.default.json", "seen"} {
		dir := filepath.Join(t.TempDir(), "trust")
		if _, _, err := tm.store(dir).Accept(sealed(t, tm.spec(7, "web"), tm.signers...), want(begun)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		opened := make(chan error, 1)
		go func() {
			s, err := OpenStore(dir, func() ([]identity.PublicKey, error) { return public(tm.anchor), nil })
			if err == nil {
				says(t, s, name)
				_, err = s.AcceptRoot(sealed(t, tm.root, tm.anchor), begun)
			}
			if err == nil {
				_, _, err = s.Accept(sealed(t, tm.spec(6, "old"), tm.signers...), want(begun))
			}
			opened <- err
		}()
		refusedFor(t, <-opened, Rollback)
	}
}

// TestA03OpeningAStoreAsksTheDiskWithinBounds: where the disk does not answer, that is said, and not that nothing is there.
func TestA03OpeningAStoreAsksTheDiskWithinBounds(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := OpenStore(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		if err := s.disk.Do("read", func() error { <-release; return nil }); !errors.Is(err, statefile.ErrHangs) {
			t.Fatal(err)
		}
		for name, look := range map[string]func() error{"survey": s.survey, "lists": s.judgeDamaged, "roots": s.judgeForgotten} {
			if err := look(); !errors.Is(err, statefile.ErrHangs) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
