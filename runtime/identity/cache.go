package identity

import (
	"strings"
	"sync"
	"time"
)

// maxCertificates bounds what a verifier remembers. A fleet has a few dozen issuers.
const maxCertificates = 256

// Certificates remembers certificates (or other tokens) whose own signature has verified, by their text, until they expire
// and not without bound. It says nothing of trust: whether a chain ends at a root, and what its limits are, is asked every time. Only those
// of chains that ended at a root are remembered, so that strangers cannot fill it. The zero Certificates is ready; it is safe for
// concurrent use.
type Certificates struct {
	mu    sync.Mutex
	known map[string]*Claims
}

// verified is a certificate and what it says.
type verified struct {
	text   string
	claims *Claims
}

// find returns a certificate that has not expired. Its claims are shared and must not be changed.
func (s *Certificates) find(text string, now time.Time) (*Claims, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.known[text]
	if ok && !now.Before(c.Expires) {
		delete(s.known, text)
		return nil, false
	}
	return c, ok
}

// remember keeps certificates; where there is no room, others make it.
func (s *Certificates) remember(read []verified) {
	if len(read) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range read {
		if _, ok := s.known[r.text]; ok {
			continue
		}
		for any := range s.known {
			if len(s.known) < maxCertificates {
				break
			}
			delete(s.known, any)
		}
		if s.known == nil {
			s.known = map[string]*Claims{}
		}
		s.known[strings.Clone(r.text)] = r.claims
	}
}
