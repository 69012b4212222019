package node_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/runtime/node"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// TestH63FleetWatchOfACellAtRestShowsNothing listens as statecraft fleet watch does, while every node of a cell with a published machine asks,
// compares and tells its inventory six times, and the host goes its rounds. All do so every few seconds, in place of five minutes and an hour.
func TestH63FleetWatchOfACellAtRestShowsNothing(t *testing.T) {
	const nodes, rounds = 5, 6
	hosts := override(t, t.TempDir(), "overlay/streams", "timer: 5m", "timer: 1s")
	override(t, hosts, "overlay/provisioner", "timer: 1h", "timer: 1s")
	busy := override(t, t.TempDir(), "node/deployer", "interval: 1m\n    splay: 1m", "interval: 3s\n    splay: 500ms", "timeout: 10s", "timeout: 3s", "timeout: 30s", "timeout: 3s")
	override(t, busy, "node/inventory", "after: {5m: due}", "after: {1s: due}", "splay: 30s", "splay: 500ms", "splay: 10s", "splay: 500ms")
	c := newCell(t, func(o *overlay.InitOptions) { o.Machines = hosts })
	s := openShop(t, c)
	s.publish(s.stock(web("1.0.0")))
	looks := prometheus.NewRegistry()
	a := newAgent(t, func(c *node.Config) {
		c.Machines, c.Metrics = busy, looks
		c.Without = []string{"health"} // a disk of this machine may be full, which is news
	})
	e, err := a.Emulate(t.Context(), "n", "example", c.join, nodes, 0)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all nodes are active", func() bool { return e.Standing().Active == nodes })
	eventually(t, "all bundles are confirmed", func() bool {
		running := 0
		for _, m := range a.Host().Machines() {
			if strings.HasSuffix(m.Name, "/bundle:web") && m.State == "running" {
				running++
			}
		}
		return running == nodes
	})
	polls := func() float64 { return lookCount(t, looks, "deployer", "poll", "unchanged") }
	told := func() float64 { return lookCount(t, looks, "inventory", "look", "unchanged") }
	before := polls() + 2*nodes // what has just happened may still be on its way
	eventually(t, "the nodes are at rest", func() bool { return polls() >= before && told() >= 2*nodes })

	heard := make(chan *nats.Msg, 1024)
	conn := c.operator()
	for _, subject := range []string{"choria.lifecycle.event.>", "choria.machine.>"} {
		if _, err := conn.ChanSubscribe(subject, heard); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	beforePolls, beforeTold := polls(), told()
	eventually(t, "every node has polled and told its inventory six times", func() bool {
		return polls() >= beforePolls+rounds*nodes && told() >= beforeTold+rounds*nodes
	})
	var shown []string
	for len(heard) > 0 {
		var e struct {
			Type, Subject string
			Data          struct{ Machine, Transition, Name string }
		}
		if err := json.Unmarshal((<-heard).Data, &e); err != nil {
			t.Fatal(err)
		}
		if e.Type != "io.choria.lifecycle.v1.alive" { // one an hour and node, at any time
			shown = append(shown, strings.Join([]string{e.Subject, filepath.Ext(e.Type), e.Data.Machine, e.Data.Transition + e.Data.Name}, " "))
		}
	}
	if len(shown) > 0 {
		slices.Sort(shown)
		t.Errorf("a cell at rest shows %d events: %s", len(shown), strings.Join(slices.Compact(shown), ", "))
	}
}

// lookCount is how many looks of a watcher came to an outcome.
func lookCount(t *testing.T, from prometheus.Gatherer, machine, watcher, outcome string) float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "statecraft_looks_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["machine"] == machine && labels["watcher"] == watcher && labels["outcome"] == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
