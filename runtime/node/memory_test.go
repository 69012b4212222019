package node_test

import (
	"runtime"
	"testing"
)

// BenchmarkMemoryPerNode holds b.N emulated nodes that belong to their cell, whose broker is in the same process.
func BenchmarkMemoryPerNode(b *testing.B) {
	c, a := newCell(b, nil), newAgent(b, nil)
	heap, stacks := inUse()
	e, err := a.Emulate(b.Context(), "n", "test", c.join, b.N, 0)
	if err != nil {
		b.Fatal(err)
	}
	eventually(b, "all nodes are active", func() bool { return e.Standing().Active == b.N })
	b.StopTimer()
	after, afterStacks := inUse()
	b.ReportMetric(float64(after-heap)/float64(b.N)/1024, "heap-KiB/node")
	b.ReportMetric(float64(afterStacks-stacks)/float64(b.N)/1024, "stack-KiB/node")
	b.ReportMetric(float64(runtime.NumGoroutine())/float64(b.N), "goroutines/node")
}

// inUse returns the bytes of the heap and of stacks once garbage is gone: pools let go of what they hold at the second collection.
func inUse() (heap, stacks int64) {
	var m runtime.MemStats
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}
