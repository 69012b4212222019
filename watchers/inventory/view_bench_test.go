package inventory

import (
	"runtime"
	"testing"

	"github.com/statecraft-io/statecraft/watchers"
)

const fleetSize = 20_000

// BenchmarkViewQuestion asks 20,000 nodes.
func BenchmarkViewQuestion(b *testing.B) {
	d := newDesk(&viewSpec{Memory: 1024}, fleet(fleetSize), querySubject, "inventory", &watchers.Look{})
	for _, bb := range []struct {
		name string
		q    Query
	}{
		{"path", Query{Where: `facts.os.name == "debian" && facts.cpu.count >= 16`, Limit: 100}},
		{"machine", Query{Where: `machines.metadata.state == "waiting"`, Fields: []string{"machines.metadata.version"}}},
		{"missing", Query{Where: `facts.none.there == 1`}},
		{"seen", Query{Where: `last_seen < now() - duration("10m")`}},
		{"list", Query{Where: `"roles::web" in classes && any(values(machines), .state == "running")`, Limit: 100}},
		{"whole", Query{Where: `facts[lower("OS")].name == "debian"`, Limit: 100}},
		{"summed", Query{Machines: "*"}},
		{"fields", Query{Fields: []string{"facts.os.name", "facts.host.uptime", "machines"}}},
		{"documents", Query{Document: true}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.answer(b.Context(), &bb.q, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/question")
		})
	}
}

// BenchmarkViewMemory holds 20,000 inventories.
func BenchmarkViewMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := fleet(fleetSize)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(s.bytes)/(1<<20), "MiB-counted")
		runtime.KeepAlive(s)
	}
}
