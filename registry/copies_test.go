package registry

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vouched is what VerifyFolder says of a folder with some files.
func vouched(t *testing.T, files map[string]string) (string, *SignedFolder) {
	t.Helper()
	dir, sums := signed(t, files)
	listed, err := readSums([]byte(files[SumsFile]))
	if err != nil {
		t.Fatal(err)
	}
	return dir, &SignedFolder{Name: "web", Sums: sums, Files: listed}
}

// TestH77ACopyIsWhatWasSigned takes a folder that was changed after it had been verified, in every way that is known.
func TestH77ACopyIsWhatWasSigned(t *testing.T) {
	for _, tt := range tamperings() {
		t.Run(tt.name, func(t *testing.T) {
			dir, s := vouched(t, webFiles())
			copies := Copies{Dir: filepath.Join(t.TempDir(), "signed")}
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			copied, _, err := copies.Take(dir, s)
			if err != nil {
				if left, _ := os.ReadDir(copies.Dir); len(left) > 0 {
					t.Errorf("it has left %v", left)
				}
				return
			}
			if err := Verify(copied, SumsFile, s.Sums); err != nil { // hidden files and modes are not copied
				t.Errorf("the copy: %v", err)
			}
		})
	}
	dir, s := vouched(t, webFiles())
	if err := os.WriteFile(filepath.Join(dir, "check.sh"), []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	var tampered *Tampered
	_, _, err := Copies{Dir: filepath.Join(t.TempDir(), "signed")}.Take(dir, s)
	if !errors.As(err, &tampered) || !slices.Equal(tampered.Changed, []string{"check.sh"}) {
		t.Errorf("error %v", err)
	}
}

func TestCopiesAreKeptByWhatTheyHold(t *testing.T) {
	dir, s := vouched(t, webFiles())
	copies := Copies{Dir: filepath.Join(t.TempDir(), "signed")}
	take := func() (string, string) {
		t.Helper()
		copied, id, err := copies.Take(dir, s)
		if err != nil {
			t.Fatal(err)
		}
		return copied, id
	}
	first, id := take()
	if again, same := take(); again != first || same != id {
		t.Errorf("%s %s, then %s %s", first, id, again, same)
	}
	if err := os.Chmod(filepath.Join(dir, "lib/a"), 0o755); err != nil {
		t.Fatal(err)
	}
	second, other := take()
	if info, err := os.Stat(filepath.Join(second, "lib/a")); err != nil || info.Mode().Perm() != 0o755 || other == id {
		t.Errorf("a file that can be executed: %v %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(second, "lib/a"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	take()
	if err := Verify(second, SumsFile, s.Sums); err != nil {
		t.Errorf("a copy that was damaged: %v", err)
	}
	s.Name = "../web"
	if _, _, err := copies.Take(dir, s); !errors.Is(err, errSlotName) {
		t.Errorf("error %v", err)
	}
}

func TestCopiesThatNothingUsesAreRemoved(t *testing.T) {
	copies := Copies{Dir: filepath.Join(t.TempDir(), "signed")}
	if err := copies.Tidy(func(string) bool { return false }); err != nil {
		t.Errorf("without copies: %v", err)
	}
	name := func(machine string, version byte) string { return machine + "-" + digestOf([]byte{version}) }
	for age, folder := range []string{name("web", 3), name("web", 2), name("web", 1), name("gone", 1), name("db-2", 2), name("db-2", 1), ".new", ".old-x"} {
		dir, at := filepath.Join(copies.Dir, folder), time.Now().Add(-time.Duration(age)*time.Hour)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "lib"), 0o755), os.Chtimes(dir, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	used := []string{name("web", 2), name("db-2", 1)}
	if err := copies.Tidy(func(dir string) bool {
		return slices.Contains(used, filepath.Base(dir)) && filepath.Dir(dir) == copies.Dir
	}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(copies.Dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{name("web", 3), name("web", 2), name("db-2", 2), name("db-2", 1)}
	slices.Sort(want)
	if diff := cmp.Diff(want, left); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestH78CopiesAreNotMadeWhereOthersCanWrite(t *testing.T) {
	dir, s := vouched(t, webFiles())
	open := filepath.Join(t.TempDir(), "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if copied, _, err := (Copies{Dir: filepath.Join(open, "signed")}).Take(dir, s); err == nil {
		t.Errorf("copied to %s", copied)
	}
}
