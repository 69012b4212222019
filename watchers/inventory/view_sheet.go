package inventory

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/watchers"
)

// entry is the last inventory of a node. It is not changed after it was made.
type entry struct {
	identity string
	seen     time.Time // when the stream got it
	digest   string
	document *watchers.Document
	seq      uint64 // in the stream
}

// entryOverhead is about what an entry takes beside its texts.
const entryOverhead = 128

func (e *entry) size() int64 {
	return int64(len(e.identity)+len(e.digest)+e.document.Size()) + entryOverhead
}

// sheet is the last inventories of all nodes, in the order of their identities. Safe for concurrent use.
type sheet struct {
	limit int64 // of bytes

	mu      sync.RWMutex
	entries []*entry
	bytes   int64
	age     time.Duration   // after which an entry is left out; 0 is never
	leftOut map[string]bool // nodes for whose last inventory there is no room
	unread  map[string]int  // inventories that cannot be read, by reason
}

func newSheet(limit int64) *sheet {
	return &sheet{limit: limit, leftOut: map[string]bool{}, unread: map[string]int{}}
}

func byIdentity(e *entry, identity string) int { return strings.Compare(e.identity, identity) }

// take keeps an entry in place of the one before. Where there is no room for it, that one stays.
func (s *sheet) take(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := slices.BinarySearchFunc(s.entries, e.identity, byIdentity)
	more := e.size()
	if found {
		more -= s.entries[at].size()
	}
	if more > 0 && s.bytes+more > s.limit {
		s.leftOut[e.identity] = true
		return
	}
	delete(s.leftOut, e.identity)
	s.bytes += more
	if found {
		s.entries[at] = e
		return
	}
	s.entries = slices.Insert(s.entries, at, e)
}

// has reports whether a message of the stream is in the sheet already.
func (s *sheet) has(identity string, seq uint64, seen time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, found := slices.BinarySearchFunc(s.entries, identity, byIdentity)
	return found && s.entries[at].seq == seq && s.entries[at].seen.Equal(seen)
}

// refuse counts an inventory that cannot be read.
func (s *sheet) refuse(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread[reason]++
}

// all are the entries that are not too old. Whoever asks has them for good.
func (s *sheet) all() []*entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Clone(s.entries), s.tooOld())
}

// one is the entry of a node, nil where there is none.
func (s *sheet) one(identity string) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, found := slices.BinarySearchFunc(s.entries, identity, byIdentity)
	if !found || s.tooOld()(s.entries[at]) {
		return nil
	}
	return s.entries[at]
}

// tooOld says of an entry whether the stream has lost it by its age.
func (s *sheet) tooOld() func(*entry) bool {
	if s.age <= 0 {
		return func(*entry) bool { return false }
	}
	oldest := time.Now().Add(-s.age) //nolint:forbidigo // messages of the stream age by the wall clock
	return func(e *entry) bool { return e.seen.Before(oldest) }
}

// keeps sets the age after which entries are left out, and forgets what is too old, or gone.
func (s *sheet) keeps(age time.Duration, gone func(identity string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age = age
	old := s.tooOld()
	s.entries = slices.DeleteFunc(s.entries, func(e *entry) bool {
		if !old(e) && !gone(e.identity) {
			return false
		}
		s.bytes -= e.size()
		return true
	})
	for identity := range s.leftOut {
		if gone(identity) {
			delete(s.leftOut, identity)
		}
	}
}

// lasting is the age after which entries are left out.
func (s *sheet) lasting() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.age
}

// forgetNothing is for keeps where nothing but age counts.
func forgetNothing(string) bool { return false }

// counts are the numbers of the state event.
func (s *sheet) counts() map[string]any {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return map[string]any{"nodes": len(s.entries), "bytes": int(s.bytes), "left_out": len(s.leftOut)}
}

// missing are the nodes whose last inventory is not in the sheet, for lack of room.
func (s *sheet) missing() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.leftOut)
}

// unreadable is how many inventories could not be read, by reason.
func (s *sheet) unreadable() map[string]any {
	s.mu.RLock()
	defer s.mu.RUnlock()
	counts := map[string]any{}
	for reason, n := range s.unread {
		counts[reason] = n
	}
	return counts
}
