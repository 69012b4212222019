package node_test

import (
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkMachineReachesNodes publishes a machine to b.N emulated nodes; both sides share this process.
func BenchmarkMachineReachesNodes(b *testing.B) {
	c, a := newCell(b, nil), newAgent(b, nil)
	s := openShop(b, c)
	e, err := a.Emulate(b.Context(), "n", "test", c.join, b.N, 0)
	if err != nil {
		b.Fatal(err)
	}
	eventually(b, "all nodes are active", func() bool { return e.Standing().Active == b.N })
	one := s.stock(web("1.0.0"))
	b.ResetTimer()
	began := time.Now()
	s.publish(one)
	eventually(b, "all nodes run it", func() bool {
		running := 0
		for _, m := range a.Host().Machines() {
			if filepath.Base(m.Name) == "web" && m.State != "" {
				running++
			}
		}
		return running == b.N
	})
	b.StopTimer()
	b.ReportMetric(time.Since(began).Seconds(), "s")
}
