package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func nothing(string, string) bool { return false }

// discard removes the slots that are unwanted, and what was left half done. A slot loses its name before it loses its files, so that what
// has the name of a slot is whole.
func (s *Slots) discard(unwanted func(name, digest string) bool) error {
	folder := filepath.Join(s.Target, slotsFolder)
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("listing payloads: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if name, digest, ok := splitSlot(e.Name()); ok && unwanted(name, digest) {
			gone := filepath.Join(folder, leftover+"old-"+e.Name())
			if err := errors.Join(os.RemoveAll(gone), os.Rename(path, gone)); err != nil {
				return fmt.Errorf("removing an old payload: %w", err)
			}
			s.at("renamed away")
			path = gone
		} else if !strings.HasPrefix(e.Name(), leftover) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("removing an old payload: %w", err)
		}
		s.at("removed")
	}
	return nil
}

// sync makes the entries of a folder durable.
func (s *Slots) sync(folder string) error {
	if !s.Sync {
		return nil
	}
	return syncPath(folder)
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("making %s durable: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("making %s durable: %w", path, err)
	}
	return nil
}

// syncAll makes a payload durable: its files, and the folders that name them.
func (s *Slots) syncAll(payload string) error {
	if !s.Sync {
		return nil
	}
	return filepath.WalkDir(payload, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncPath(path)
	})
}
