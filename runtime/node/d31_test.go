package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/runtime/node"
)

// connected counts the emulated nodes whose session with the cell answers.
func connected(a *node.Agent, count int) int {
	n := 0
	for i := range count {
		conn, err := a.Pool().Conn(fmt.Sprintf("n%d.example", i+1), "fleet")
		if err == nil && conn.IsConnected() && conn.FlushTimeout(time.Second) == nil {
			n++
		}
	}
	return n
}

// TestD31BrokerRestarted stops the only host of a cell and starts it again while its nodes are active.
func TestD31BrokerRestarted(t *testing.T) {
	const nodes = 100
	c, a := newCell(t, nil), newAgent(t, nil)
	e, err := a.Emulate(t.Context(), "n", "example", c.join, nodes, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == nodes && connected(a, nodes) == nodes })
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody is connected", func() bool { return connected(a, nodes) == 0 })
	if s := e.Standing(); s.Active != nodes {
		t.Errorf("without a broker the nodes are %v", s.States)
	}
	c.run()
	eventually(t, "all nodes are back", func() bool { return connected(a, nodes) == nodes })
	if s := e.Standing(); s.Active != nodes {
		t.Errorf("the nodes are %v", s.States)
	}
}

// TestD31ManyAtOnce lets many nodes connect at once.
func TestD31ManyAtOnce(t *testing.T) {
	const nodes = 300
	c, a := newCell(t, nil), newAgent(t, nil)
	e, err := a.Emulate(t.Context(), "n", "example", c.join, nodes, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the nodes are %v", e.Standing().States)
		}
	})
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == nodes })
	if n := connected(a, nodes); n != nodes {
		t.Errorf("%d of %d nodes are connected", n, nodes)
	}
}
