package node_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime/node"
)

// arrivals notes when machines start.
type arrivals struct {
	mu sync.Mutex
	at []time.Time
}

func (a *arrivals) observe(r *machine.Record, _ bool) {
	if r.Kind == machine.RecordStart && r.Machine == "web" {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.at = append(a.at, time.Now())
	}
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

// BenchmarkMachineReachesNodes publishes a machine to b.N emulated nodes; both sides share this process.
func BenchmarkMachineReachesNodes(b *testing.B) {
	var started arrivals
	c, a := newCell(b, nil), newAgent(b, func(c *node.Config) { c.Observe = started.observe })
	s := openShop(b, c)
	e, err := a.Emulate(b.Context(), "n", "test", c.join, b.N, 0)
	if err != nil {
		b.Fatal(err)
	}
	eventually(b, "all nodes are active", func() bool { return e.Standing().Active == b.N })
	files := web("1.0.0")
	files["machine.yaml"] = idleManifest
	one := s.stock(files)
	b.ResetTimer()
	began := time.Now()
	s.publish(one)
	eventually(b, "all nodes run it", func() bool { return started.count() == b.N })
	b.StopTimer()
	slices.SortFunc(started.at, time.Time.Compare)
	b.ReportMetric(started.at[b.N*50/100].Sub(began).Seconds(), "median-s")
	b.ReportMetric(started.at[b.N*99/100].Sub(began).Seconds(), "p99-s")
}

// idleManifest is of a machine that does nothing once it runs.
const idleManifest = `format: 1
name: web
version: 1.0.0
initial_state: idle
states:
  idle: {home: true}
transitions:
  - {name: worked, from: [idle], destination: idle}
watchers:
  - {name: work, type: timer, state_match: [idle], fail_transition: worked, properties: {timer: 1h}}
`
