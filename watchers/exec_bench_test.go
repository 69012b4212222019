//go:build linux

package watchers

import (
	"context"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// BenchmarkExec is how many commands one host runs, as many at once as it has cores.
func BenchmarkExec(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		bench := newExecBench(b, `{command: "true"}`)
		for pb.Next() {
			if r := bench.run(); r.Outcome != machine.OutcomeSuccess {
				b.Error(r.Message)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
}

// BenchmarkExecSandbox is the same through the shim, which starts this program first.
func BenchmarkExecSandbox(b *testing.B) {
	b.RunParallel(func(pb *testing.PB) {
		bench := newExecBench(b, `{command: "true", sandbox: {}}`)
		for pb.Next() {
			if r := bench.run(); r.Outcome != machine.OutcomeSuccess {
				b.Error(r.Message)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
}

// BenchmarkExecTimeout is how long after its time-out a command is over whose grandchild holds the output and
// ignores SIGTERM.
func BenchmarkExecTimeout(b *testing.B) {
	const timeout = 100 * time.Millisecond
	bench := newExecBench(b, `{command: 'sh -c "trap \"\" TERM; sleep 60 & sleep 60"'}`)
	var longest time.Duration
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), timeout)
		began := time.Now()
		r := bench.watcher.Check(ctx, &bench.look)
		longest = max(longest, time.Since(began)-timeout)
		cancel()
		if r.Outcome != machine.OutcomeTimeout {
			b.Error(r.Outcome, r.Message)
		}
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms-over")
}
