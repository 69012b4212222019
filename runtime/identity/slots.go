package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const (
	slotsFile        = "slots"
	assignmentPrefix = "assignment-"
)

// slots names the files of the assignments. Replacing its file is the one step that each change of them has: before it the change is
// invisible, after it complete.
type slots struct {
	Active   string `json:"active,omitempty"`
	Previous string `json:"previous,omitempty"` // the last committed one, while Pending
	Staged   string `json:"staged,omitempty"`
	Pending  bool   `json:"pending,omitempty"`
}

// Stage writes and syncs an assignment beside the active one. One that was staged before is dropped.
func (s *Store) Stage(a *Assignment) error {
	if err := a.wellFormed(); err != nil {
		return fmt.Errorf("staging an assignment: %w", err)
	}
	return s.change("staging an assignment", func(at *slots) (err error) {
		at.Staged, err = s.keep(a)
		return err
	})
}

// Activate makes the staged assignment the active one, by one rename, and keeps the last committed one. Where none is staged and an
// activated one is not committed yet, this has happened already.
func (s *Store) Activate() error {
	return s.change("activating an assignment", func(at *slots) error {
		switch {
		case at.Staged == "" && at.Pending:
			return nil
		case at.Staged == "":
			return fmt.Errorf("an assignment that is staged: %w", ErrNothing)
		case !at.Pending:
			at.Previous = at.Active
		}
		at.Active, at.Staged, at.Pending = at.Staged, "", true
		return nil
	})
}

// Commit forgets the assignment before the active one, and keeps the join token of the active one where it takes the place of the node's. That is
// first: an assignment that is not committed comes again.
func (s *Store) Commit() error {
	return s.change("committing an assignment", func(at *slots) error {
		if at.Pending {
			if err := s.takeJoin(at.Active); err != nil {
				return err
			}
		}
		at.Previous, at.Pending = "", false
		return nil
	})
}

// takeJoin keeps the join token of an assignment in place of the one that the node has.
func (s *Store) takeJoin(name string) error {
	a, err := s.read(name)
	if errors.Is(err, ErrNothing) || err == nil && a.Join == "" {
		return nil
	}
	if err != nil {
		return err
	}
	// One that is gone or damaged stays what it is, and so does another one that the node has been given since: the assignment counts without.
	if kept, err := s.get(joinFile); err == nil && succeeds(a.Join, string(kept)) {
		return s.setJoin(a.Join)
	}
	return nil
}

// Rollback returns to the assignment before the one that was activated and not committed, or to having none, and drops a staged one.
// Where nothing was activated since the last Commit, the active one stays.
func (s *Store) Rollback() error {
	return s.change("rolling an assignment back", func(at *slots) error {
		if at.Pending {
			at.Active = at.Previous
		}
		at.Previous, at.Staged, at.Pending = "", "", false
		return nil
	})
}

// Pending reports whether the active assignment was activated and neither committed nor rolled back, in this process or an earlier one.
func (s *Store) Pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.slots()
	return err == nil && at.Pending
}

// Active returns the active assignment, whose lists must not be changed. Errors are ErrNothing, ErrDamaged and those of reading.
func (s *Store) Active() (*Assignment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.slots()
	if err != nil {
		return nil, fmt.Errorf("reading the node's assignment: %w", err)
	}
	a, err := s.read(at.Active)
	if err != nil {
		return nil, fmt.Errorf("reading the node's assignment: %w", err)
	}
	return a, nil
}

// SetToken puts a renewed token into the active assignment.
func (s *Store) SetToken(token string) error {
	return s.change("keeping a node token", func(at *slots) error {
		a, err := s.read(at.Active)
		if err != nil {
			return err
		}
		a.Token = strings.TrimSpace(token)
		at.Active, err = s.keep(a)
		return err
	})
}

// Forget drops all assignments, damaged ones too: the node is bare again. Its key and its join token stay.
func (s *Store) Forget() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.place(slots{}); err != nil {
		return fmt.Errorf("forgetting the assignments: %w", err)
	}
	return nil
}

// change reads the slots, lets f change them, and makes that so.
func (s *Store) change(what string, f func(at *slots) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.slots()
	before := at
	if err == nil {
		err = f(&at)
	}
	if err == nil && at != before {
		err = s.place(at)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// place makes the slots so, and drops the files that none of them names.
func (s *Store) place(at slots) error {
	content, err := json.Marshal(at)
	if err != nil {
		return err
	}
	if err := s.put(slotsFile, content); err != nil {
		return err
	}
	names, _ := s.files.names() // what is left over is dropped after the next change
	for _, name := range names {
		if strings.HasPrefix(name, assignmentPrefix) && name != at.Active && name != at.Previous && name != at.Staged {
			_ = s.files.remove(name)
		}
	}
	return nil
}

func (s *Store) slots() (at slots, err error) {
	content, err := s.get(slotsFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return slots{}, nil
	case err != nil:
		return slots{}, err
	case json.Unmarshal(content, &at) != nil:
		return slots{}, fmt.Errorf("the file %s: %w", slotsFile, ErrDamaged)
	}
	return at, nil
}

// keep writes an assignment to a file that is named after its content, and returns that name.
func (s *Store) keep(a *Assignment) (string, error) {
	content, err := json.Marshal(a)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	name := assignmentPrefix + hex.EncodeToString(sum[:8])
	return name, s.seal(name, content, sum)
}

// kept returns the content of an assignment's file, "" being none. Errors are ErrNothing, ErrDamaged and those of reading.
func (s *Store) kept(name string) (content []byte, sum digest, err error) {
	if name == "" {
		return nil, digest{}, ErrNothing
	}
	content, sum, err = s.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("the file %s is gone: %w", name, ErrDamaged)
	}
	return content, sum, err
}

func (s *Store) read(name string) (*Assignment, error) {
	content, sum, err := s.kept(name)
	if err != nil {
		return nil, err
	}
	if sum != s.parsedOf {
		a, err := readAssignment(name, content)
		if err != nil {
			return nil, err
		}
		s.parsed, s.parsedOf = *a, sum
	}
	a := s.parsed
	return &a, nil
}

func readAssignment(name string, content []byte) (*Assignment, error) {
	a := new(Assignment)
	if err := json.Unmarshal(content, a); err != nil {
		return nil, fmt.Errorf("the file %s: %w", name, ErrDamaged)
	}
	return a, nil
}
