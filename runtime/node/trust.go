package node

import (
	"crypto/tls"
	"strings"
	"sync"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// maxTrusts bounds the configurations that are kept. A node has two, thousands of emulated ones the same two.
const maxTrusts = 16

// trusts makes the TLS configurations of connections, one for all who trust the same. The zero trusts is ready; it is safe for concurrent use.
type trusts struct {
	mu   sync.Mutex
	made map[string]*tls.Config
}

// pinned is identity.PinnedTLS.
func (t *trusts) pinned(pins []string) (*tls.Config, error) {
	return t.shared("pins "+strings.Join(pins, " "), func() (*tls.Config, error) { return identity.PinnedTLS(pins) })
}

// ca is identity.CATLS.
func (t *trusts) ca(pem string) (*tls.Config, error) {
	return t.shared("ca "+pem, func() (*tls.Config, error) { return identity.CATLS(pem) })
}

func (t *trusts) shared(what string, configure func() (*tls.Config, error)) (*tls.Config, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.made[what]; c != nil {
		return c, nil
	}
	c, err := configure()
	if err != nil {
		return nil, err
	}
	if t.made == nil || len(t.made) >= maxTrusts {
		t.made = map[string]*tls.Config{}
	}
	t.made[what] = c
	return c, nil
}
