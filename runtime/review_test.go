package runtime_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

// inlineNow is a catalogue whose type "now" succeeds in the machine's turn.
func inlineNow() *fakes {
	fakes := newFakes()
	fakes.add("now", &watchers.Prepared{Inline: true, New: func() watchers.Watcher {
		return checker(func(context.Context, *watchers.Look) watchers.Report { return watchers.Success() })
	}})
	return fakes
}

// TestOutcomeInTheTurnIsRecordedBeforeTheNextMessage has an operator's event wait while a look that must not be repeated is made in the
// turn: its outcome must not be lost over it.
func TestOutcomeInTheTurnIsRecordedBeforeTheNextMessage(t *testing.T) {
	var h *host
	var records []machine.Record
	done := make(chan struct{})
	h = runHost(t, runtime.Config{Catalogue: inlineNow(), Observe: func(r *machine.Record, _ bool) {
		records = append(records, *r)
		switch {
		case r.Kind == machine.RecordEffect:
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = h.Fire(ctx, "m", "touch", nil, "op") // queues the event; nobody waits for the answer
		case r.Event == "touch":
			close(done)
		}
	}})
	h.deploy(`
name: m
version: 1.0.0
initial_state: a
transitions:
	- {name: good, from: [a], destination: b}
	- {name: touch, from: [a, b], destination: b}
watchers:
	- {name: w, type: now, state_match: [a], on_interrupt: fail, success_transition: good}
`)
	<-done
	for i, r := range records {
		if r.Seq != uint64(i+1) {
			t.Fatalf("record %d has number %d", i+1, r.Seq)
		}
	}
	if n := len(records); n != 4 || records[2].Event != "good" {
		t.Errorf("%d records: %+v", n, records)
	}
}

// counted returns the sum of a metric's series.
func counted(t *testing.T, reg *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// hangsOnce is a catalogue whose probe does not return from its first look before release is closed.
func hangsOnce() (fakes *fakes, looks *atomic.Int64, release chan struct{}) {
	fakes, looks, release = newFakes(), &atomic.Int64{}, make(chan struct{})
	fakes.check("probe", func(context.Context, *watchers.Look) watchers.Report {
		if looks.Add(1) == 1 {
			<-release
		}
		return watchers.Success()
	})
	return fakes, looks, release
}

func TestA06HungLookDoesNotSwallowTheLookOfTheNextVisit(t *testing.T) {
	fakes, looks, release := hangsOnce()
	reg := prometheus.NewRegistry()
	h := runHost(t, runtime.Config{Catalogue: fakes, Metrics: reg})
	h.deploy(watchingWith("timeout: 50ms"))
	eventually(t, "the first look has begun", func() bool { return looks.Load() == 1 })
	for _, event := range []string{"leave", "enter"} {
		if _, err := h.Fire(t.Context(), "watching", event, nil, "op"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the look was given up", func() bool { return counted(t, reg, "statecraft_stale_outcomes_total") == 1 })
	close(release)
	eventually(t, "the look of the next visit is made", func() bool { return looks.Load() == 2 })
}

func TestA09HungLookIsTriedAgain(t *testing.T) {
	fakes, looks, release := hangsOnce()
	reg := prometheus.NewRegistry()
	h := runHost(t, runtime.Config{Catalogue: fakes, Metrics: reg})
	h.deploy(watchingWith("timeout: 50ms, retry: {max: 3, backoff: 1ms..1ms, then: gave_up}"))
	eventually(t, "the look was given up", func() bool { return counted(t, reg, "statecraft_looks_total") == 1 })
	close(release)
	eventually(t, "it is tried again", func() bool { return looks.Load() == 2 })
}

const jobOn = `
format: 1
name: job
version: VERSION
initial_state: idle
states: {idle: {home: true}, running: {after: {1m: late}}, broken: {home: true}}
transitions:
	- {name: go, from: [idle], destination: running}
	- {name: late, from: [running], destination: broken}
watchers:
	- {name: run, type: probe, state_match: [running], KEYS}
`

func job(version, keys string) string {
	return strings.ReplaceAll(strings.ReplaceAll(jobOn, "VERSION", version), "KEYS", keys)
}

func TestAskedLookIsNotMadeForAForeignState(t *testing.T) {
	fakes := newFakes()
	s := simulate(t, fakes, named(toggler, "other"), job("1.0.0", "on_interrupt: ask, foreign_state_required: [{machine_name: other, state: 'on'}]"))
	s.complete("probe", watchers.Failure("no"))
	s.fire("other", "turn_on")
	s.fire("job", "go")
	if len(s.looks["run"]) != 1 {
		t.Fatalf("%d looks", len(s.looks["run"]))
	}
	s.restart()
	s.fire("other", "turn_on")
	s.fire("other", "turn_off")
	s.fire("other", "turn_on")
	if n := len(s.looks["run"]); n != 1 {
		t.Errorf("a look that an operator is to decide on was made again: %d looks", n)
	}
}

func TestInterruptedLookIsFollowedByTheNextOne(t *testing.T) {
	s := simulate(t, newFakes(), job("1.0.0", "on_interrupt: fail, interval: 10s"))
	s.fire("job", "go")
	s.restart()
	if n := len(s.looks["run"]); n != 1 {
		t.Fatalf("%d looks", n)
	}
	s.Advance(10 * time.Second)
	if n := len(s.looks["run"]); n != 2 {
		t.Errorf("%d looks after an interval", n)
	}
}

func TestDeadlineIsKeptWhenTheManifestChangesWhileTheHostIsDown(t *testing.T) {
	s := simulate(t, newFakes(), job("1.0.0", "interval: 1h"))
	s.Advance(10 * time.Second)
	s.fire("job", "go")
	s.complete("run", watchers.Success())
	s.Advance(40 * time.Second)
	if err := s.Remove(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, newFakes(), job("1.0.1", "interval: 1h"))}); err != nil {
		t.Fatal(err)
	}
	s.Advance(20*time.Second - 1)
	s.wantState("job", "running")
	s.Advance(1)
	s.wantState("job", "broken")
}

const follows = `
format: 1
name: alpha
version: 1.0.0
initial_state: a
states: {a: {home: true}}
transitions: [{name: seen, from: [a], destination: a}]
watchers:
	- {name: w, type: TYPE, state_match: [a], success_transition: seen, foreign_state_required: [{machine_name: beta, state: "on"}]}
`

func TestForeignStateCountsAgainAfterARestart(t *testing.T) {
	fakes := newFakes()
	beta := strings.ReplaceAll(named(toggler, "beta"), "version: 1.0.0", "version: 1.0.0\nformat: 1\nstates: {\"on\": {home: true}}")
	s := simulate(t, fakes, strings.ReplaceAll(follows, "TYPE", "probe"), beta)
	s.fire("beta", "turn_on")
	if n := len(s.looks["w"]); n != 1 {
		t.Fatalf("%d looks", n)
	}
	s.restart() // alpha starts first
	s.wantState("beta", "on")
	if n := len(s.looks["w"]); n != 2 {
		t.Errorf("%d looks after the restart", n)
	}
}

func TestListenerComesBackWithTheForeignState(t *testing.T) {
	fakes := newFakes()
	fakes.add("hears", &watchers.Prepared{New: func() watchers.Watcher {
		return listener(func(ctx context.Context, _ *watchers.Look, _ func(watchers.Report)) watchers.Report {
			<-ctx.Done()
			return watchers.Report{}
		})
	}})
	s := simulate(t, fakes, named(toggler, "beta"), strings.ReplaceAll(follows, "TYPE", "hears"))
	s.fire("beta", "turn_on")
	if len(s.looks["w"]) != 1 {
		t.Fatal("does not listen")
	}
	s.fire("beta", "turn_off")
	if !s.looks["w"][0].Cancelled() {
		t.Fatal("still listens")
	}
	s.fire("beta", "turn_on") // before the listener has returned
	s.complete("w", watchers.Report{})
	s.Advance(time.Minute)
	if len(s.looks["w"]) != 1 {
		t.Error("does not listen any more")
	}
}

// TestA08DeployWhileTheMachineIsRemoved asks for a machine, and for its removal, while it is being removed.
func TestA08DeployWhileTheMachineIsRemoved(t *testing.T) {
	fakes := newFakes()
	release := make(chan struct{})
	begun := make(chan struct{}, 8)
	fakes.check("probe", func(ctx context.Context, _ *watchers.Look) watchers.Report {
		begun <- struct{}{}
		<-ctx.Done()
		<-release
		return watchers.Failure("cancelled")
	})
	h := runHost(t, runtime.Config{Catalogue: fakes})
	h.deploy(watchingWith("interval: 1h"))
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	errs := make(chan error, 3)
	var asked sync.WaitGroup
	for range 2 {
		asked.Go(func() { errs <- h.Remove(ctx, "watching") })
	}
	eventually(t, "the removal has begun", func() bool {
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := h.Machine(short, "watching")
		return err != nil
	})
	def := load(t, fakes, watchingWith("interval: 1h"))
	asked.Go(func() { errs <- h.Deploy(ctx, runtime.Deployment{Definition: def}) })
	close(release)
	asked.Wait()
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	<-begun
	if d, err := h.Machine(ctx, "watching"); err != nil || d.State != "a" {
		t.Errorf("%+v, %v", d, err)
	}
}

const slowSubscriber = `
format: 1
name: slow
version: 1.0.0
initial_state: a
durable: DURABLE
max_rate: 1/m
states: {a: {home: true}}
transitions:
	- {name: tick, from: [a], destination: a, subscribe: [{machine_name: source, event: tick}]}
	- {name: poke, from: [a], destination: a}
`

const tickSource = `
format: 1
name: source
version: 1.0.0
initial_state: a
states: {a: {home: true}}
transitions: [{name: tick, from: [a], destination: a}]
`

func TestA05DeliveriesToAVolatileMachineAreBounded(t *testing.T) {
	s := simulate(t, newFakes(), strings.ReplaceAll(slowSubscriber, "DURABLE", "false"), tickSource)
	const bound = 4096
	for range bound + 100 {
		s.fire("source", "tick")
	}
	d, err := s.Machine(t.Context(), "slow")
	if err != nil || d.Waiting > bound {
		t.Errorf("%d messages wait, %v", d.Waiting, err)
	}
}
