package broker

import (
	"slices"
	"sync"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// session is who is connected.
type session struct{ Bearer }

// sessions are the connections of one server by their id. nats-server does not tell when a connection ends: those that have ended are
// looked for when the book has doubled, so that it never holds more than twice of what is connected, and a few; and those of one key when
// it has as many as it may.
type sessions struct {
	alive func(id uint64) bool

	mu   sync.Mutex
	book map[uint64]session
	keys map[identity.PublicKey][]uint64 // the oldest first
	full int                             // the length at which those that ended are looked for
}

const fewSessions = 1024

func newSessions(alive func(id uint64) bool) *sessions {
	return &sessions{alive: alive, book: map[uint64]session{}, keys: map[identity.PublicKey][]uint64{}, full: fewSessions}
}

// open remembers a session, of which a key may have most. Where it has more, the oldest are to be ended if they give way, and are not
// remembered any more; otherwise this one is refused.
func (s *sessions) open(id uint64, of session, most int, giveWay bool) (ended []uint64, refused Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.book[id]; ok {
		return nil, ReasonAgain
	}
	if len(s.book) >= s.full {
		s.forgetEnded()
		s.full = 2*len(s.book) + fewSessions
	}
	if len(s.keys[of.Key]) >= most {
		for _, one := range slices.Clone(s.keys[of.Key]) {
			if !s.alive(one) {
				s.remove(one)
			}
		}
	}
	if over := len(s.keys[of.Key]) + 1 - most; over > 0 {
		if !giveWay {
			return nil, ReasonSessions
		}
		ended = slices.Clone(s.keys[of.Key][:over])
		for _, one := range ended {
			s.remove(one)
		}
	}
	s.book[id] = of
	s.keys[of.Key] = append(s.keys[of.Key], id)
	return ended, ""
}

func (s *sessions) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

// remove takes a session out; under the lock.
func (s *sessions) remove(id uint64) {
	one, ok := s.book[id]
	if !ok {
		return
	}
	delete(s.book, id)
	left := slices.DeleteFunc(s.keys[one.Key], func(other uint64) bool { return other == id })
	if s.keys[one.Key] = left; len(left) == 0 {
		delete(s.keys, one.Key)
	}
}

func (s *sessions) forgetEnded() {
	for id := range s.book {
		if !s.alive(id) {
			s.remove(id)
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
		n[one.Purpose]++
	}
	return n
}
