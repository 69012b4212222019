package identity

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestA03APipeInPlaceOfAFileIsDamage puts a pipe in the place of each file of a store.
func TestA03APipeInPlaceOfAFileIsDamage(t *testing.T) {
	for name, read := range map[string]func(s *Store) error{
		keyFile:   func(s *Store) error { _, _, err := s.EnsureKey(); return err },
		joinFile:  func(s *Store) error { _, err := s.JoinToken(); return err },
		slotsFile: func(s *Store) error { _, err := s.Active(); return err },
		nameFile:  func(s *Store) error { _, _, err := s.Owner(); return err },
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenStore(dir)
		if err == nil {
			err = read(s)
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
