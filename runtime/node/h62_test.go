package node_test

import (
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime"
)

// TestH62ANodeWhoseConnectionWasClosedIsReached has the broker close a node's connection for good, by a line that is too long. The node says that
// it was lost, and an operator reaches it again.
func TestH62ANodeWhoseConnectionWasClosedIsReached(t *testing.T) {
	c := newCell(t, nil)
	m := newMember(t, "n1.example", t.TempDir(), c.join, nil)
	m.becomes("active")
	conn, err := m.agent.Pool().Wait(t.Context(), m.id, "fleet")
	if err != nil {
		t.Fatal(err)
	}
	cell := func() runtime.WatcherStatus {
		d, err := m.agent.Host().Machine(t.Context(), "enrollment")
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range d.Watchers {
			if w.Name == "cell" {
				return w
			}
		}
		return runtime.WatcherStatus{}
	}
	if err := conn.Publish(strings.Repeat("a", 200_000), nil); err != nil {
		t.Fatal(err)
	}
	_ = conn.FlushTimeout(patience)
	eventually(t, "the node says that the connection is lost", func() bool {
		w := cell()
		return conn.IsClosed() && w.Outcome == "fail" && strings.Contains(w.Message, "for good")
	})
	eventually(t, "the node is connected again", func() bool {
		now, err := m.agent.Pool().Conn(m.id, "fleet")
		return err == nil && now != conn && cell().Outcome == "success"
	})
	operator := c.operator()
	eventually(t, "an operator reaches it", func() bool {
		_ = operator.Publish("node.n1=example.in.operate.reprovision", nil)
		return m.entered("introducing") > 1
	})
	m.becomes("active")
}
