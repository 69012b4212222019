package runtime_test

import (
	"context"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestA04DeadlinesFireOnceWhateverTheClockDoes(t *testing.T) {
	jumps := map[string]func(s *simulation){
		"an hour on":   func(s *simulation) { s.SetWall(s.clock.Now().Add(time.Hour)) },
		"an hour back": func(s *simulation) { s.SetWall(s.clock.Now().Add(-time.Hour)) },
		"1970":         func(s *simulation) { s.SetWall(time.Unix(0, 0)) },
	}
	for name, jump := range jumps {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, newFakes(), pump)
			s.fire("pump", "check")
			s.Advance(30 * time.Second)
			jump(s)
			s.wantState("pump", "checking")
			s.Advance(29 * time.Second)
			s.wantState("pump", "checking")
			s.Advance(time.Second)
			s.wantState("pump", "broken")
			s.Advance(3 * time.Hour)
			if n := s.count("give_up"); n != 1 {
				t.Errorf("the deadline fired %d times", n)
			}
		})
	}
}

func TestA04SuspensionCountsTowardsDeadlines(t *testing.T) {
	s := simulate(t, newFakes(), pump)
	s.fire("pump", "check")
	s.Suspend(8 * time.Hour)
	s.wantState("pump", "broken")
	if n := s.count("give_up"); n != 1 {
		t.Errorf("the deadline fired %d times", n)
	}
}

func TestA04RestartAfterTheClockWentBackKeepsTheDeadlineBounded(t *testing.T) {
	s := simulate(t, newFakes(), pump)
	s.fire("pump", "check")
	s.Advance(30 * time.Second)
	s.SetWall(time.Unix(0, 0))
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.wantState("pump", "checking")
	s.Advance(time.Minute)
	s.wantState("pump", "broken")
}

// count returns how often an event was taken.
func (s *simulation) count(event string) int {
	n := 0
	for _, r := range s.records {
		if r.Event == event && r.Kind != machine.RecordRefused {
			n++
		}
	}
	return n
}

const toggler = `
name: NAME
version: 1.0.0
initial_state: "off"
transitions:
	- {name: turn_on, from: ["off"], destination: "on"}
	- {name: turn_off, from: ["on"], destination: "off"}
watchers:
	- {name: probe, type: probe, state_match: [never_on], success_transition: turn_on}
`

func named(src, name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(src, "NAME", name), "never_on", "off")
}

func TestA05FloodAtOneMachine(t *testing.T) {
	fakes := newFakes()
	fakes.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return never{} }})
	h := runHost(t, runtime.Config{Catalogue: fakes, InboxSize: 64, StateDir: t.TempDir()})
	h.deploy(named(toggler, "flooded"), named(toggler, "calm"))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var flood sync.WaitGroup
	var busy, taken atomic.Int64
	for range 16 {
		flood.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, err := h.Fire(ctx, "flooded", []string{"turn_on", "turn_off"}[i%2], nil, "flood")
				if err != nil {
					busy.Add(1)
					goruntime.Gosched()
				} else {
					taken.Add(1)
				}
			}
		})
	}
	eventually(t, "the flood has been taken for a while", func() bool { return taken.Load() > 2000 })
	for i := range 20 {
		if _, err := h.Fire(t.Context(), "calm", []string{"turn_on", "turn_off"}[i%2], nil, "op"); err != nil {
			t.Fatalf("another machine is affected: %v", err)
		}
	}
	cancel()
	flood.Wait()
	if busy.Load() == 0 {
		t.Error("16 writers never filled a queue of 8: it is not bounded")
	}
}

// never is a checker that is never due.
type never struct{}

func (never) Check(context.Context, *watchers.Look) watchers.Report { return watchers.Success() }
func (never) Plan(watchers.Planning) watchers.Due                   { return watchers.Due{} }

func TestA05OperatorOvertakes(t *testing.T) {
	fakes := newFakes()
	s := simulate(t, fakes, `
format: 1
name: busy
version: 1.0.0
initial_state: a
max_rate: 1/s
states: {a: {home: true}, stopped: {final: success}}
transitions:
	- {name: tick, from: [a], destination: a, subscribe: [{machine_name: source, event: tick}]}
	- {name: stop, from: [a], destination: stopped}
`, `
format: 1
name: source
version: 1.0.0
initial_state: a
states: {a: {home: true}}
transitions: [{name: tick, from: [a], destination: a}]
`)
	for range 100 {
		s.fire("source", "tick")
	}
	if n := s.countOf("busy", "tick"); n != 1 {
		t.Fatalf("%d events taken at once above a rate of 1/s", n)
	}
	s.Advance(10 * time.Second)
	if n := s.countOf("busy", "tick"); n < 10 || n > 12 {
		t.Fatalf("%d events taken in 10 s at 1/s", n)
	}
	s.fire("busy", "stop")
	s.wantState("busy", "stopped")
	s.Advance(5 * time.Minute)
	if got := s.countAll("busy"); got != 100+2 {
		t.Errorf("%d records, want start, stop and all 100 events, taken or refused", got)
	}
}

func TestA05ThrottledMachineComesToRest(t *testing.T) {
	s := simulate(t, newFakes(), `
format: 1
name: rare
version: 1.0.0
initial_state: a
max_rate: 1/m
states: {a: {home: true}}
transitions: [{name: tick, from: [a], destination: a}]
`)
	s.fire("rare", "tick")
	s.Advance(time.Hour)
	if d, err := s.Machine(t.Context(), "rare"); err != nil || d.Throttled {
		t.Errorf("%+v, %v", d, err)
	}
}

func (s *simulation) countOf(name, event string) int {
	n := 0
	for _, r := range s.records {
		if r.Machine == name && r.Event == event && r.Kind != machine.RecordRefused {
			n++
		}
	}
	return n
}

func (s *simulation) countAll(name string) int {
	n := 0
	for _, r := range s.records {
		if r.Machine == name {
			n++
		}
	}
	return n
}

const player = `
format: 1
name: NAME
version: 1.0.0
max_rate: none
initial_state: a
data: {heard: {type: integer, default: 0}}
states: {a: {home: true}}
transitions:
	- {name: serve, from: [a], destination: a}
	- name: hit
	  from: [a]
	  destination: a
	  when: data.heard < 500
	  set: {heard: data.heard + 1}
	  subscribe: [{machine_name: OTHER, event: hit}, {machine_name: OTHER, event: serve}]
`

func TestA07MachinesSubscribedToEachOther(t *testing.T) {
	h := runHost(t, runtime.Config{Catalogue: newFakes(), StateDir: t.TempDir()})
	pair := func(name, other string) string {
		return strings.ReplaceAll(strings.ReplaceAll(player, "NAME", name), "OTHER", other)
	}
	h.deploy(pair("ping", "pong"), pair("pong", "ping"))
	if _, err := h.Fire(t.Context(), "ping", "serve", nil, "op"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "500 hits have been heard", func() bool {
		d, err := h.Machine(t.Context(), "pong")
		return err == nil && d.Data["heard"] == 500
	})
	var order []uint64
	err := h.History(t.Context(), "pong", func(e runtime.HistoryEntry) error {
		if e.Record.Cause.Kind == machine.CauseSubscription {
			order = append(order, e.Record.Cause.Seq)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(order) < 500 || !slices.IsSorted(order) {
		t.Errorf("order not kept over %d deliveries", len(order))
	}
}

func TestA08FlappingMachineStopsAtOnce(t *testing.T) {
	fakes := newFakes()
	fakes.check("slow", func(ctx context.Context, _ *watchers.Look) watchers.Report {
		<-ctx.Done()
		return watchers.Failure("cancelled")
	})
	flap := `
name: flap
version: 1.0.0
max_rate: none
initial_state: a
transitions:
	- {name: go_b, from: [a], destination: b}
	- {name: go_a, from: [b], destination: a}
watchers:
	- {name: to_b, type: probe, state_match: [a], success_transition: go_b}
	- {name: to_a, type: probe, state_match: [b], success_transition: go_a}
	- {name: slow, type: slow}
`
	h := runHost(t, runtime.Config{Catalogue: fakes, StateDir: t.TempDir()})
	h.deploy(flap)
	seq := func() uint64 { return h.Machines()[0].Seq }
	eventually(t, "the machine flaps", func() bool { return seq() > 200 })
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := h.Remove(ctx, "flap"); err != nil {
		t.Fatalf("removing: %v", err)
	}
	if _, ok := h.Definition("flap"); ok {
		t.Error("the machine is still there")
	}
	h.deploy(flap)
	eventually(t, "it flaps again", func() bool { return len(h.Machines()) == 1 && seq() > 400 })
	if err := h.stop(); err != nil {
		t.Errorf("stopping while flapping: %v", err)
	}
}

func TestA09PanicAndHangStayWhereTheyAre(t *testing.T) {
	fakes := newFakes()
	release := make(chan struct{})
	fakes.check("panics", func(context.Context, *watchers.Look) watchers.Report { panic("boom") })
	fakes.check("hangs", func(context.Context, *watchers.Look) watchers.Report {
		<-release
		return watchers.Success()
	})
	h := runHost(t, runtime.Config{Catalogue: fakes, StateDir: t.TempDir(), MaxLooks: 4})
	t.Cleanup(func() { close(release) })
	h.deploy(`
name: panics
version: 1.0.0
initial_state: a
transitions:
	- {name: failed, from: [a], destination: b}
	- {name: back, from: [b], destination: a}
watchers:
	- {name: w, type: panics, state_match: [a], fail_transition: failed}
	- {name: again, type: probe, state_match: [b], success_transition: back, interval: 1h}
`, `
name: hangs
version: 1.0.0
initial_state: a
transitions:
	- {name: failed, from: [a], destination: b}
	- {name: back, from: [b], destination: a}
watchers:
	- {name: w, type: hangs, state_match: [a], timeout: 50ms, fail_transition: failed}
	- {name: again, type: probe, state_match: [b], fail_transition: back}
`, named(toggler, "calm"))
	eventually(t, "the hanging look counts as timed out", func() bool {
		d, err := h.Machine(t.Context(), "hangs")
		return err == nil && d.State == "b"
	})
	eventually(t, "the panic became an outcome", func() bool {
		d, err := h.Machine(t.Context(), "panics")
		return err == nil && d.Seq > 2
	})
	if f, err := h.Fire(t.Context(), "calm", "turn_off", nil, "op"); err != nil || !f.Durable {
		t.Errorf("another machine: %+v, %v", f, err)
	}
}

func TestA11ChainOfImmediateTransitionsAndUnhandledOutcome(t *testing.T) {
	fakes := newFakes()
	fakes.add("now", &watchers.Prepared{Inline: true, New: func() watchers.Watcher {
		return checker(func(context.Context, *watchers.Look) watchers.Report { return watchers.Success() })
	}})
	s := simulate(t, fakes, `
name: chain
version: 1.0.0
initial_state: a
transitions:
	- {name: to_b, from: [a], destination: b}
	- {name: to_c, from: [b], destination: c}
	- {name: to_d, from: [c], destination: d}
	- {name: again, from: [d], destination: d}
	- {name: lost, from: [a], destination: b}
watchers:
	- {name: w1, type: now, state_match: [a], success_transition: to_b}
	- {name: w2, type: now, state_match: [b], success_transition: to_c}
	- {name: w3, type: now, state_match: [c], success_transition: to_d}
	- {name: w4, type: probe, state_match: [d], fail_transition: lost}
`)
	s.wantState("chain", "d")
	s.complete("w4", watchers.Failure("nobody handles this"))
	s.wantState("chain", "d")
	last := s.records[len(s.records)-1]
	if last.Kind != machine.RecordRefused || last.Event != "lost" {
		t.Errorf("an outcome that the state does not take left %+v", last)
	}
	epoch := last.Epoch
	f := s.fire("chain", "again")
	if f.Record.Kind != machine.RecordStay || f.Record.Epoch != epoch || len(s.looks["w4"]) != 0 {
		t.Errorf("a self transition restarted the visit: %+v", f.Record)
	}
}

func TestA14MachinesAtRestCostLittle(t *testing.T) {
	fakes := newFakes()
	fakes.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return never{} }})
	for _, n := range []int{1000, 100_000} {
		if testing.Short() && n > 1000 {
			continue
		}
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			h := runHost(t, runtime.Config{Catalogue: fakes})
			def := load(t, fakes, named(toggler, "rests"))
			if err := h.Deploy(t.Context(), runtime.Deployment{Definition: def}); err != nil {
				t.Fatal(err)
			}
			goroutines, before := goruntime.NumGoroutine(), heap()
			for i := range n {
				d := runtime.Deployment{Definition: def, Name: fmt.Sprintf("m%06d", i)}
				if err := h.Deploy(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "all have started", func() bool {
				m := h.Machines()
				return len(m) == n+1 && !slices.ContainsFunc(m, func(s runtime.MachineStatus) bool { return s.Seq == 0 })
			})
			perMachine := (heap() - before) / int64(n)
			t.Logf("%d bytes a machine at rest", perMachine)
			if perMachine > 4096 {
				t.Errorf("%d bytes a machine at rest", perMachine)
			}
			if more := goruntime.NumGoroutine() - goroutines; more > 2 {
				t.Errorf("%d goroutines more for %d machines at rest", more, n)
			}
		})
	}
}

// heap returns the bytes in use after a collection.
func heap() int64 {
	goruntime.GC()
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
