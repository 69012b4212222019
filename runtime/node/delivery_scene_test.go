package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// shop publishes machines in a cell, as whoever has its root key may.
type shop struct {
	t      testing.TB
	c      *cell
	root   *identity.Key
	key    *identity.Key // signs specs
	cell   string
	serial uint64
}

// openShop publishes a trust root of a cell that runs.
func openShop(t testing.TB, c *cell) *shop {
	t.Helper()
	s := &shop{t: t, c: c, key: newKey(t), cell: "test"}
	var err error
	if s.root, err = identity.LoadKey(filepath.Join(c.dir, "authority", "root.key")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the buckets are there", func() bool { return stateOf(c.host.Host(), "streams") == "steady" })
	s.put("root.1", s.sign(s.firstRoot(), s.root))
	return s
}

func newKey(t testing.TB) *identity.Key {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *shop) firstRoot() *registry.Root {
	now := time.Now().UTC().Truncate(time.Second)
	return &registry.Root{
		Type: registry.RootType, Version: 1, Issued: now, Expires: now.Add(365 * 24 * time.Hour),
		Roles: map[string]registry.Role{
			registry.RoleRoot: {Keys: []identity.PublicKey{s.root.Public()}, Threshold: 1},
			registry.RoleSpec: {Keys: []identity.PublicKey{s.key.Public()}, Threshold: 1},
		},
	}
}

func (s *shop) sign(document any, keys ...registry.Signer) []byte {
	s.t.Helper()
	envelope, err := registry.Sign(document, keys...)
	if err != nil {
		s.t.Fatal(err)
	}
	return envelope
}

// put writes a key of the bucket SPECS.
func (s *shop) put(key string, value []byte) {
	s.t.Helper()
	if _, err := s.c.bucket("SPECS").Put(s.t.Context(), key, value); err != nil {
		s.t.Fatal(err)
	}
}

// spec makes the next spec.
func (s *shop) spec(entries ...registry.Entry) *registry.Spec {
	s.serial++
	now := time.Now().UTC().Truncate(time.Second)
	return &registry.Spec{
		Type: registry.SpecType, Channel: "default", Audience: s.cell, Serial: s.serial, Issued: now, Expires: now.Add(time.Hour),
		Machines: append([]registry.Entry{}, entries...),
	}
}

// publish signs and publishes the next spec.
func (s *shop) publish(entries ...registry.Entry) {
	s.t.Helper()
	s.put("spec.default", s.sign(s.spec(entries...), s.key))
}

// stock packs a machine and puts the bundle into the store.
func (s *shop) stock(files map[string]string) registry.Entry {
	s.t.Helper()
	b := pack(s.t, files)
	js, err := jetstream.New(s.c.operator().Conn)
	if err != nil {
		s.t.Fatal(err)
	}
	store, err := js.ObjectStore(s.t.Context(), "BUNDLES")
	if err == nil {
		_, err = store.PutBytes(s.t.Context(), b.Digest, b.Data)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return registry.Entry{
		Name: b.Name, Version: b.Version, Source: "object://BUNDLES/" + b.Digest, Checksum: b.Digest, Verify: registry.SumsFile, VerifyChecksum: b.SumsDigest,
	}
}

func pack(t testing.TB, files map[string]string) *registry.Bundle {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if !strings.HasSuffix(name, ".yaml") {
			mode = 0o755
		}
		write(t, filepath.Join(dir, name), text, mode)
	}
	b, err := registry.Pack(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// webManifest is of a machine that says every 200 ms that it works, by its script.
const webManifest = `format: 1
name: web
version: %s
initial_state: idle
states:
  idle: {home: true}
  broken: {final: failure}
transitions:
  - {name: worked, from: [idle], destination: idle}
  - {name: broke, from: [idle], destination: broken}
watchers:
  - name: work
    type: exec
    state_match: [idle]
    interval: 500ms
    success_transition: worked
    properties: {command: ./work}
`

func web(version string) map[string]string {
	return map[string]string{"machine.yaml": fmt.Sprintf(webManifest, version), "work": "#!/bin/sh\ntrue\n"}
}

// runs waits until a node runs a version of a machine.
func (m *member) runs(name, version string) {
	m.t.Helper()
	eventually(m.t, m.id+" runs "+name+" "+version, func() bool { return versionOf(m.agent.Host(), name) == version })
}

// versionOf is the version of a machine that has started, "" where there is none.
func versionOf(h *runtime.Host, name string) string {
	for _, m := range h.Machines() {
		if m.Name == name && m.State != "" {
			return m.Version
		}
	}
	return ""
}

// bundle is the state of the instance that brings a machine.
func (m *member) bundle(name string) string { return stateOf(m.agent.Host(), "bundle:"+name) }

// bundleBecomes waits for it.
func (m *member) bundleBecomes(name, state string) {
	m.t.Helper()
	eventually(m.t, m.id+"'s "+name+" is "+state, func() bool { return m.bundle(name) == state })
}

// deployer is a key of the deployer's data.
func (m *member) deployer(key string) any {
	m.t.Helper()
	detail, err := m.agent.Host().Machine(m.t.Context(), "deployer")
	if err != nil {
		m.t.Fatal(err)
	}
	return detail.Data[key]
}
