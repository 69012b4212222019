package identity

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxCertificates bounds what a verifier remembers. A fleet has a few dozen issuers.
const maxCertificates = 256

// certificates remembers certificates (or other tokens) whose own signature has verified, by the digest of their text. Only those of chains
// that ended at a root are remembered, so that strangers cannot fill it.
type certificates struct {
	mu    sync.Mutex
	known map[digest]*Claims
}

// verified is a certificate and what it says.
type verified struct {
	text   string
	claims *Claims
}

// find returns a certificate that has not expired. Its claims are shared and must not be changed.
func (s *certificates) find(text string, now time.Time) (*Claims, bool) {
	sum := digest(sha256.Sum256([]byte(text)))
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.known[sum]
	if ok && !now.Before(c.Expires) {
		delete(s.known, sum)
		return nil, false
	}
	return c, ok
}

// remember keeps certificates; where there is no room, others make it.
func (s *certificates) remember(read []verified) {
	if len(read) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range read {
		sum := digest(sha256.Sum256([]byte(r.text)))
		if _, ok := s.known[sum]; ok {
			continue
		}
		for any := range s.known {
			if len(s.known) < maxCertificates {
				break
			}
			delete(s.known, any)
		}
		if s.known == nil {
			s.known = map[digest]*Claims{}
		}
		s.known[sum] = r.claims
	}
}
