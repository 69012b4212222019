package journal

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkAppendSync is one writer alone, from Append to done, with records of 300 bytes.
func BenchmarkAppendSync(b *testing.B) {
	h := startHost(b, b.TempDir())
	data, done := []byte(strings.Repeat("x", 300)), make(chan error, 1)
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		began := time.Now()
		h.j.Append("machine", data, func(err error) { done <- err })
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
}

// BenchmarkGroupCommit1000 is 1,000 writers with one record of 300 bytes in flight each.
func BenchmarkGroupCommit1000(b *testing.B) {
	const writers = 1000
	h := startHost(b, b.TempDir())
	data := []byte(strings.Repeat("x", 300))
	each := b.N/writers + 1
	var all sync.WaitGroup
	all.Add(writers)
	b.ResetTimer()
	began := time.Now()
	for w := range writers {
		key, left := fmt.Sprint("machine", w), each
		var next func(error)
		next = func(err error) {
			if err != nil {
				b.Error(err)
			}
			if left--; left < 0 {
				all.Done()
				return
			}
			h.j.Append(key, data, next)
		}
		next(nil)
	}
	all.Wait()
	b.ReportMetric(float64(each*writers)/time.Since(began).Seconds(), "records/s")
}
