package node_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/watchers/inventory"
)

// TestInventoryIsAsked has a client ask a cell what its nodes are: by node/inventory, overlay/adapter, the stream and overlay/inventory.
func TestInventoryIsAsked(t *testing.T) {
	c := newCell(t, nil)
	eventually(t, "the view answers", func() bool { return stateOf(c.host.Host(), "inventory") == "answering" })
	prompt := override(t, t.TempDir(), "node/inventory", "    interval: 1m\n    splay: 30s\n", "    interval: 1s\n")
	m := newMember(t, "n1.example", t.TempDir(), c.join, func(cfg *node.Config) { cfg.Machines = prompt })
	m.becomes("active")
	viewer, _ := c.client("fleet_view")
	var a inventory.Answer
	asking := inventory.Query{Where: `machines.enrollment.state == "active" && facts.statecraft.version != ""`, Fields: []string{"machines.enrollment.state", "facts.os"}}
	eventually(t, "the inventory of n1 is known", func() bool {
		a = askInventory(t, viewer, asking)
		return a.Matched == 1
	})
	n := a.Nodes[0]
	if n.Identity != "n1.example" || len(n.Digest) != 64 || string(n.Fields["machines.enrollment.state"]) != `"active"` || len(a.Problems) > 0 {
		t.Errorf("the answer is %+v", a)
	}
	if sum := askInventory(t, viewer, inventory.Query{Machines: "enrollment"}).Machines; len(sum) != 1 || sum[0].State != "active" || sum[0].Nodes != 1 {
		t.Errorf("summed up: %+v", sum)
	}
	stranger, denied := c.client("fleet_operate")
	question := serviceOf(stranger, "inventory")
	if _, err := stranger.Request(question, nil, 200*time.Millisecond); err == nil {
		t.Error("who may not view the fleet is answered")
	}
	eventually(t, "that is denied", func() bool { return denied.of("publish", question) })
}

func askInventory(t *testing.T, conn *nats.Conn, q inventory.Query) (a inventory.Answer) {
	t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	m, err := conn.Request(serviceOf(conn, "inventory"), body, 2*time.Minute)
	if err == nil && m.Header.Get("Nats-Service-Error") != "" {
		err = errors.New(m.Header.Get("Nats-Service-Error"))
	}
	if err == nil {
		err = json.Unmarshal(m.Data, &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serviceOf is where a client asks a service of the overlay.
func serviceOf(conn *nats.Conn, name string) string {
	return broker.ServiceSubject(strings.Split(conn.NewInbox(), ".")[1], name)
}
