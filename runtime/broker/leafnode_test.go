package broker

import (
	"reflect"
	"slices"
	"testing"

	"github.com/statecraft-io/statecraft/watchers/cell"
)

// A broker knows whether it is connected to a region, and what waits for it.
func TestABrokerKnowsItsRegions(t *testing.T) {
	o := newOverlay(t)
	r := startRegion(t, "emea", newForms, exactly("emea", "c1", "OUT"))
	b := o.broker(t, func(c *Config) { c.Leafnodes = []Leafnode{r.leafnode("OUT", "MISSING")} })
	connectedLeafnodes(t, b)
	offers(t, o.uplink(t, b), "OUT", "emea", "c1", 1, 10)
	want := cell.Leafnode{Region: "emea", Connected: true, Waiting: map[string]uint64{"OUT": 10}}
	await(t, "ten messages wait", func() bool { return reflect.DeepEqual(b.Health().Leafnodes, []cell.Leafnode{want}) })
	lines := gather(t, b)
	for _, line := range []string{"leafnode_connected{region=emea} 1", "leafnode_waiting_messages{region=emea,stream=OUT} 10"} {
		if !slices.Contains(lines, line) {
			t.Errorf("no %q in %q", line, lines)
		}
	}
	r.Shutdown()
	want.Connected = false
	await(t, "it is lost", func() bool { return reflect.DeepEqual(b.Health().Leafnodes, []cell.Leafnode{want}) })
}
