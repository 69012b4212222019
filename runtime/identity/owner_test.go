package identity

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestH71TheAssignmentSaysWhoANodeIs: the name of a store is what was kept until there is an assignment, which nothing overrules.
func TestH71TheAssignmentSaysWhoANodeIs(t *testing.T) {
	places(t, func(t *testing.T, s *Store) {
		is := func(want Identity, wantAssigned bool) {
			t.Helper()
			if id, assigned, err := s.Owner(); err != nil || id != want || assigned != wantAssigned {
				t.Errorf("the store is of %q, assigned %t, %v", id, assigned, err)
			}
		}
		if _, assigned, err := s.Owner(); !errors.Is(err, ErrNothing) || assigned {
			t.Errorf("an empty store is assigned %t, %v", assigned, err)
		}
		must(t, s.SetName("localhost"))
		is("localhost", false)
		must(t, s.SetName("web2.example"))
		is("web2.example", false)
		must(t, s.Stage(assignmentNamed("a")))
		is("web2.example", false)
		must(t, s.Activate())
		is("web1.example", true)
		must(t, s.Commit(), s.SetName("web2.example"))
		is("web1.example", true)
		must(t, s.Forget())
		is("web2.example", false)
	})
}

// TestADamagedAssignmentLeavesTheName: a node that enrolls again because its assignment is damaged does so under its name.
func TestADamagedAssignmentLeavesTheName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "identity")
	s := openStore(t, dir)
	must(t, s.SetName("web1.example"), s.Stage(assignmentNamed("a")), s.Activate(), s.Commit())
	files, err := filepath.Glob(filepath.Join(dir, assignmentPrefix+"*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	must(t, os.WriteFile(files[0], []byte("nonsense"), 0o600))
	if id, assigned, err := ViewStore(dir).Owner(); err != nil || id != "web1.example" || !assigned {
		t.Errorf("the store is of %q, assigned %t, %v", id, assigned, err)
	}
	must(t, os.Remove(filepath.Join(dir, nameFile)))
	if _, _, err := ViewStore(dir).Owner(); !errors.Is(err, ErrDamaged) {
		t.Errorf("without the name: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, nameFile), []byte("nonsense"), 0o600))
	if _, _, err := ViewStore(dir).Owner(); !errors.Is(err, ErrDamaged) {
		t.Errorf("with a damaged name: %v", err)
	}
}
