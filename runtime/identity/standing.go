package identity

import (
	"errors"
	"fmt"
)

// Standing is what a store holds at one moment, read once. What could not be read is nil, with the error that Key and Active return.
type Standing struct {
	Mark      Mark
	Key       *Key
	KeyErr    error
	Active    *Assignment
	ActiveErr error
	Pending   bool
}

// Mark tells what a store's owner is known by - key, active assignment, and whether that is damaged - from everything else. It is
// comparable, and for comparing with other marks of the same store.
type Mark struct {
	key     PublicKey
	active  digest
	damaged bool
}

// Standing reads key, active assignment and whether it is pending.
func (s *Store) Standing() (now Standing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now.Key, now.KeyErr = s.key()
	at, content, sum, err := s.inUse()
	now.Mark, now.Pending = marked(now.Key, sum, err), at.Pending
	if err == nil {
		now.Active, err = readAssignment(at.Active, content)
	}
	if err != nil {
		now.ActiveErr = fmt.Errorf("reading the node's assignment: %w", err)
	}
	return now
}

// Mark is that of Standing, without reading what the assignment says.
func (s *Store) Mark() Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, _ := s.key() // nil where it cannot be read, which is another mark
	_, _, sum, err := s.inUse()
	return marked(k, sum, err)
}

func marked(k *Key, active digest, err error) Mark {
	m := Mark{active: active, damaged: errors.Is(err, ErrDamaged)}
	if k != nil {
		m.key = k.Public()
	}
	return m
}

// inUse returns the slots and the active assignment's file.
func (s *Store) inUse() (at slots, content []byte, sum digest, err error) {
	if at, err = s.slots(); err != nil {
		return slots{}, nil, digest{}, err
	}
	content, sum, err = s.kept(at.Active)
	return at, content, sum, err
}
