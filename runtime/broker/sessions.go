package broker

import (
	"sync"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// session is who is connected.
type session struct {
	Bearer
	purpose identity.Purpose
}

// sessions are the connections of one server by their id. nats-server does not tell when a connection ends: those that have ended are
// looked for when the book has doubled, so that it never holds more than twice of what is connected, and a few.
type sessions struct {
	alive func(id uint64) bool

	mu   sync.Mutex
	book map[uint64]session
	full int // the length at which those that ended are looked for
}

const fewSessions = 1024

func newSessions(alive func(id uint64) bool) *sessions {
	return &sessions{alive: alive, book: map[uint64]session{}, full: fewSessions}
}

// open remembers a session. It reports false where the connection has one already.
func (s *sessions) open(id uint64, of session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.book[id]; ok {
		return false
	}
	if len(s.book) >= s.full {
		s.forgetEnded()
		s.full = 2*len(s.book) + fewSessions
	}
	s.book[id] = of
	return true
}

func (s *sessions) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.book, id)
}

func (s *sessions) forgetEnded() {
	for id := range s.book {
		if !s.alive(id) {
			delete(s.book, id)
		}
	}
}

// of lists the sessions that are to end.
func (s *sessions) of(ends func(Bearer) bool) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []uint64
	for id, one := range s.book {
		if ends(one.Bearer) {
			ids = append(ids, id)
		}
	}
	return ids
}

// count is the sessions by purpose.
func (s *sessions) count() map[identity.Purpose]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetEnded()
	n := map[identity.Purpose]int{}
	for _, one := range s.book {
		n[one.purpose]++
	}
	return n
}
