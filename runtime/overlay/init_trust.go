package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// The files of an operator's folder by which signed machines are published, beside context.json.
const (
	PublisherKeyFile = "publisher.key"
	FirstRootFile    = "root.json" // the envelope of the first trust root
	AnchorsFile      = "roots"     // the cell's root keys, of which one has signed it
	TrustDir         = "trust"     // what was learnt since; a host's folder has one, too
)

// trust makes the first trust root: the cell's root key signs the next roots, the operator's publisher key signs specs.
func (m *maker) trust() error {
	publisher, err := m.key(m.path("operator", PublisherKeyFile), "the key that signs what nodes run")
	if err != nil {
		return err
	}
	err = m.write(m.path("operator", AnchorsFile), "the cell's root key, as who publishes knows it", func() ([]byte, error) {
		return []byte(m.root.Public().String() + "\n"), nil
	})
	if err != nil {
		return err
	}
	return m.write(m.path("operator", FirstRootFile), "the first trust root: who signs what nodes run", func() ([]byte, error) {
		now := m.o.Now.UTC().Truncate(time.Second)
		return registry.Sign(&registry.Root{
			Type: registry.RootType, Version: 1, Issued: now, Expires: now.Add(issuerLifetime),
			Roles: map[string]registry.Role{
				registry.RoleRoot: {Keys: []identity.PublicKey{m.root.Public()}, Threshold: 1},
				registry.RoleSpec: {Keys: []identity.PublicKey{publisher.Public()}, Threshold: 1},
			},
		}, m.root)
	})
}

// ReadAnchors reads a file of public keys in hex, one a line.
func ReadAnchors(path string) ([]identity.PublicKey, error) {
	text, err := statefile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("reading the roots: %w", err)
	}
	var keys []identity.PublicKey
	for _, line := range strings.Fields(string(text)) {
		key, err := identity.ParsePublicKey(line)
		if err != nil {
			return nil, fmt.Errorf("reading the roots %s: %w", path, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// OpenTrust opens what an operator's folder trusts at a time: the first root, which came with the cell, and those after it that were learnt since.
func OpenTrust(folder string, now time.Time) (*registry.Store, error) {
	trust, err := registry.OpenStore(filepath.Join(folder, TrustDir), func() ([]identity.PublicKey, error) {
		return ReadAnchors(filepath.Join(folder, AnchorsFile))
	})
	if err != nil {
		return nil, err
	}
	if root, err := trust.Root(); err != nil || root != nil {
		return trust, err
	}
	envelope, err := statefile.Read(filepath.Join(folder, FirstRootFile))
	if errors.Is(err, fs.ErrNotExist) {
		return trust, nil
	}
	if err == nil {
		_, err = trust.AcceptRoot(bytes.TrimSpace(envelope), now)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the first trust root: %w", err)
	}
	return trust, nil
}
