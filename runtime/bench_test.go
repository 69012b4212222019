package runtime_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// pingPong is two machines that take each other's event for ever: nothing but turns.
const pingPong = `
format: 1
name: NAME
version: 1.0.0
initial_state: a
durable: false
max_rate: none
states: {a: {home: true}, b: {home: true}}
transitions:
	- {name: go_b, from: [a], destination: b, subscribe: [{machine_name: OTHER, event: go_b}, {machine_name: OTHER, event: go_a}]}
	- {name: go_a, from: [b], destination: a, subscribe: [{machine_name: OTHER, event: go_b}, {machine_name: OTHER, event: go_a}]}
`

// BenchmarkTurnInMemory measures whole turns: a message taken from the inbox, decided through looplab/fsm, its
// effects, and the message to the next machine.
func BenchmarkTurnInMemory(b *testing.B) {
	var turns int
	sim, err := runtime.NewSimulation(runtime.Config{
		Identity: "bench", Catalogue: newFakes(), Log: quiet(),
		Intercept: func(*runtime.PendingLook) {},
		Observe: func(*machine.Record, bool) {
			turns++
			if turns == b.N {
				panic(enough{})
			}
		},
	}, clock.NewVirtual(start))
	if err != nil {
		b.Fatal(err)
	}
	for _, pair := range [][2]string{{"ping", "pong"}, {"pong", "ping"}} {
		src := strings.ReplaceAll(strings.ReplaceAll(pingPong, "NAME", pair[0]), "OTHER", pair[1])
		turns = -1000 - b.N
		if err := sim.Deploy(b.Context(), runtime.Deployment{Definition: load(b, newFakes(), src)}); err != nil {
			b.Fatal(err)
		}
	}
	turns = 0
	b.ReportAllocs()
	b.ResetTimer()
	defer func() {
		if _, ok := recover().(enough); !ok {
			b.Fatal("the rally ended early")
		}
	}()
	_, _ = sim.Fire(b.Context(), "ping", "go_b", nil, "bench")
	sim.Settle()
}

// enough ends a rally.
type enough struct{}

// BenchmarkDurableOne measures one machine's transition from the operator's call to the synced record.
func BenchmarkDurableOne(b *testing.B) {
	fakes := newFakes()
	fakes.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return never{} }})
	h := runHost(b, runtime.Config{Catalogue: fakes, StateDir: b.TempDir()})
	h.deploy(named(toggler, "one"))
	took := make([]time.Duration, 0, b.N)
	events := []string{"turn_on", "turn_off"}
	for i := 0; b.Loop(); i++ {
		before := time.Now()
		f, err := h.Fire(b.Context(), "one", events[i%2], nil, "bench")
		if err != nil || !f.Durable || f.Record.Kind != machine.RecordTransition {
			b.Fatalf("%+v, %v", f, err)
		}
		took = append(took, time.Since(before))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
}

// BenchmarkDurableThousand measures synced transitions of 1,000 machines that all have something to do.
func BenchmarkDurableThousand(b *testing.B) {
	fakes := newFakes()
	fakes.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return never{} }})
	var synced atomic.Int64
	h := runHost(b, runtime.Config{Catalogue: fakes, StateDir: b.TempDir(), Observe: func(r *machine.Record, durable bool) {
		if durable {
			synced.Add(1)
		}
	}})
	const machines = 1000
	def := load(b, fakes, named(toggler, "many"))
	for i := range machines {
		if err := h.Deploy(b.Context(), runtime.Deployment{Definition: def, Name: fmt.Sprintf("m%04d", i)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	began, before := time.Now(), synced.Load()
	var fired sync.WaitGroup
	for i := range machines {
		share := b.N / machines
		if i < b.N%machines {
			share++
		}
		fired.Go(func() {
			for k := range share {
				if _, err := h.Fire(b.Context(), fmt.Sprintf("m%04d", i), []string{"turn_on", "turn_off"}[k%2], nil, "bench"); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	fired.Wait()
	b.ReportMetric(float64(synced.Load()-before)/time.Since(began).Seconds(), "transitions/s")
}
