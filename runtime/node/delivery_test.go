package node_test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestMachinesReachNodes publishes a machine to real nodes and emulated ones, then the next version, and then nothing.
func TestMachinesReachNodes(t *testing.T) {
	const emulated = 50
	c := newCell(t, nil)
	s := openShop(t, c)
	var members []*member
	for i := range 3 {
		members = append(members, newMember(t, fmt.Sprintf("n%d.example", i+1), t.TempDir(), c.join, nil))
	}
	a := newAgent(t, nil)
	e, err := a.Emulate(t.Context(), "e", "example", c.join, emulated, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == emulated })
	everywhere := func(version string) {
		t.Helper()
		for _, m := range members {
			m.runs("web", version)
		}
		eventually(t, "all emulated nodes run "+version, func() bool {
			running := 0
			for _, m := range a.Host().Machines() {
				if filepath.Base(m.Name) == "web" && m.Version == version && m.State != "" {
					running++
				}
			}
			return running == emulated || version == "" && running == 0
		})
	}
	one := s.stock(web("1.0.0"))
	s.publish(one)
	everywhere("1.0.0")
	s.publish(s.stock(web("1.1.0")))
	everywhere("1.1.0")
	for _, m := range members {
		m.bundleBecomes("web", "running")
	}
	s.publish(one)
	everywhere("1.0.0")
	s.publish()
	for _, m := range members {
		eventually(t, "the machine is gone", func() bool { return versionOf(m.agent.Host(), "web") == "" && m.bundle("web") == "" })
	}
	everywhere("")
}
