package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/node"
)

// TestD30DamagedAgainAndAgain damages what a node was assigned as often as it heals. The sixth time within an hour it is quarantined, and
// an operator may release it.
func TestD30DamagedAgainAndAgain(t *testing.T) {
	quick := override(t, t.TempDir(), "node/enrollment", append([]string{"interval: 5m, splay: 5m", "interval: 500ms"}, hurried...)...)
	c, dir := newCell(t, nil), t.TempDir()
	m := newMember(t, "n1.example", dir, c.join, func(c *node.Config) { c.Machines = quick })
	for healed := range 6 {
		m.becomes("active")
		if n := m.entered("recovering"); n != healed {
			t.Fatalf("the node recovered %d times, want %d", n, healed)
		}
		damage(t, filepath.Join(dir, "identity"))
		eventually(t, "the damage is seen", func() bool { return m.entered("recovering") == healed+1 })
	}
	m.becomes("quarantined")
	if !strings.Contains(m.reason(), "damaged") {
		t.Errorf("the node was quarantined because %q", m.reason())
	}
	if _, err := m.agent.Host().Fire(t.Context(), "enrollment", "release", nil, "operator"); err != nil {
		t.Fatal(err)
	}
	m.becomes("active")
}

// damage overwrites every assignment of a node's folder.
func damage(t testing.TB, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "assignment-*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("there is no assignment in %s: %v", dir, err)
	}
	for _, path := range found {
		if err := os.Truncate(path, 10); err != nil {
			t.Fatal(err)
		}
	}
}
