package node_test

import (
	"testing"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// TestC18FastForwardRecovery has a thief publish a serial that none follows, to a node that runs. The key is revoked, another root follows, and the
// channel goes on from where it was.
func TestC18FastForwardRecovery(t *testing.T) {
	_, s, m := delivered(t, nil)
	before, evil := s.serial, s.stock(web("6.6.6"))
	stolen := s.spec(evil)
	stolen.Serial = 1 << 60
	s.put("spec.default", s.sign(stolen, s.key))
	m.runs("web", "6.6.6")
	m.bundleBecomes("web", "running")
	reason := func(want registry.Reason) {
		t.Helper()
		eventually(t, "the node refuses it: "+string(want), func() bool { return m.deployer("reason") == string(want) })
		m.stillRuns("6.6.6")
	}
	s.publish(s.stock(web("1.1.0")))
	reason(registry.Rollback)

	thief := s.key
	s.key, s.serial = newKey(t), before
	second := s.firstRoot()
	second.Version, second.Serials = 2, map[string]uint64{"default": before}
	second.Roles[registry.RoleSpec] = registry.Role{Keys: []identity.PublicKey{s.key.Public()}, Threshold: 1}
	third := *second
	third.Version, third.Serials = 3, nil
	s.put("root.2", s.sign(second, s.root))
	s.put("root.3", s.sign(&third, s.root))
	stolen.Serial++
	s.put("spec.default", s.sign(stolen, thief))
	reason(registry.Unsigned)

	s.publish(s.stock(web("1.1.0")))
	m.runs("web", "1.1.0")
	m.bundleBecomes("web", "running")
	m.settles()
}
