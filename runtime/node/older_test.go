package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// older is the folder of machines of release 875021b for a node or an overlay.
func older(t testing.TB, kind string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "testdata", "upgrade", "875021b", kind))
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestA13NodesOfOlderReleasesEnroll has a node with the machine of a release before at a host of this one: it joins, is told why it is not taken, and
// is told to stay away.
func TestA13NodesOfOlderReleasesEnroll(t *testing.T) {
	machines := func(c *node.Config) { c.Machines = older(t, "node") }
	c := newCell(t, func(o *overlay.InitOptions) {
		o.Helper = answering(t, map[string]string{"n1.example": "{}", "off.example": `{"shutdown": true, "msg": "decommissioned"}`, "no.example": `{"deny": true, "msg": "not ours"}`})
	})
	newMember(t, "n1.example", t.TempDir(), c.join, machines).becomes("active")
	newMember(t, "off.example", t.TempDir(), c.join, machines).becomes("shut_down")
	denied := newMember(t, "no.example", t.TempDir(), c.join, machines)
	eventually(t, "it knows why it is not taken", func() bool { return denied.state() == "pending" && denied.reason() == "not ours" })
}

// TestA13NodesEnrollAtOlderHosts has a node of this release at a host with the machines of a release before. It joins; what such a host answers, which
// nobody signs, is a delay.
func TestA13NodesEnrollAtOlderHosts(t *testing.T) {
	c := newCell(t, func(o *overlay.InitOptions) {
		o.Machines = older(t, "overlay")
		o.Helper = answering(t, map[string]string{"n1.example": "{}", "off.example": `{"shutdown": true, "msg": "decommissioned"}`})
	})
	newMember(t, "n1.example", t.TempDir(), c.join, nil).becomes("active")
	m := newMember(t, "off.example", t.TempDir(), c.join, impatientNodes(t))
	eventually(t, "the node comes again", func() bool { return strings.Contains(m.reason(), "decommissioned") && m.entered("introducing") > 1 })
	if m.entered("shut_down") > 0 {
		t.Error("the node has believed what nobody has signed")
	}
}
