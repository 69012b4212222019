package runtime_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// TestStoppingTheHostIsNoOutcome stops a host while looks are running: that they were cancelled says nothing of what they look at.
func TestStoppingTheHostIsNoOutcome(t *testing.T) {
	dir := t.TempDir()
	cfg := runtime.Config{StateDir: filepath.Join(dir, "state")}
	begun := make(chan string, 2)
	fakes := newFakes()
	fakes.check("script", func(ctx context.Context, l *watchers.Look) watchers.Report {
		begun <- l.Machine
		<-ctx.Done()
		return watchers.Failure("cancelled")
	})
	cfg.Catalogue = fakes
	h := runHost(t, cfg)
	h.deploy(crashJob, crashOnce)
	h.fire("job", "go")
	h.fire("once", "go")
	<-begun
	<-begun
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	last, err := runtime.ReadSnapshots(t.Context(), cfg.StateDir)
	if err != nil || last["job"].State != "running" || last["once"].State != "running" {
		t.Fatalf("%+v, %v", last, err)
	}
	cfg.Catalogue = scripts(filepath.Join(dir, "effects"))
	h = runHost(t, cfg)
	h.deploy(crashJob, crashOnce)
	eventually(t, "one look is repeated, the other was interrupted", func() bool {
		return h.detail("job").State == "idle" && h.detail("once").State == "broken"
	})
	if text, err := os.ReadFile(filepath.Join(dir, "effects")); string(text) != "start job 1\nend job 1\n" {
		t.Errorf("what happened is %q, %v", text, err)
	}
}

// testSplay is long enough for every look of guardedWork to have started.
const testSplay = 10 * time.Second

const guardedWork = `
format: 1
name: work
version: VERSION
initial_state: idle
states: {idle: {home: true}, broken: {home: true}}
transitions:
	- {name: go, from: [idle], destination: running}
	- {name: leave, from: [running], destination: idle}
	- {name: finished, from: [running], destination: idle}
	- {name: break, from: [running], destination: broken}
watchers:
	- name: run
	  type: script
	  state_match: [running]
	  on_interrupt: fail
	  splay: 10s
	  success_transition: finished
	  fail_transition: break
`

func guardedVersion(v string) string { return strings.ReplaceAll(guardedWork, "VERSION", v) }

func simulateGuarded(t *testing.T) *simulation {
	t.Helper()
	return simulate(t, scripts(""), guardedVersion("1.0.0"))
}

// TestLeftLookIsNotInterrupted leaves the state of a look that must not be repeated, comes back, and restarts the host before the new
// visit's look has started: nothing was interrupted.
func TestLeftLookIsNotInterrupted(t *testing.T) {
	for name, between := range map[string]func(s *simulation){
		"same process":    func(*simulation) {},
		"restart between": func(s *simulation) { s.restart() },
	} {
		t.Run(name, func(t *testing.T) {
			s := simulateGuarded(t)
			s.fire("work", "go")
			s.Advance(testSplay)
			if len(s.looks["run"]) != 1 {
				t.Fatalf("%d looks", len(s.looks["run"]))
			}
			s.fire("work", "leave")
			between(s)
			s.fire("work", "go")
			s.restart()
			s.wantState("work", "running")
			s.Advance(testSplay)
			if len(s.looks["run"]) != 2 {
				t.Fatalf("%d looks", len(s.looks["run"]))
			}
			s.looks["run"] = s.looks["run"][1:]
			s.complete("run", watchers.Success())
			s.wantState("work", "idle")
		})
	}
}

// TestReplacedManifestDoesNotRepeatALook gives a machine a new manifest while a look runs that must not be repeated.
func TestReplacedManifestDoesNotRepeatALook(t *testing.T) {
	s := simulateGuarded(t)
	s.fire("work", "go")
	s.Advance(testSplay)
	def := load(t, scripts(""), guardedVersion("1.0.1"))
	if err := s.Deploy(t.Context(), runtime.Deployment{Definition: def}); err != nil {
		t.Fatal(err)
	}
	s.Settle()
	s.wantState("work", "broken")
	last := s.records[len(s.records)-1]
	if last.Outcome != machine.OutcomeInterrupted || last.Cause.Run != 1 {
		t.Errorf("the look ended with %+v", last)
	}
	s.Advance(testSplay)
	if len(s.looks["run"]) != 1 {
		t.Errorf("%d looks", len(s.looks["run"]))
	}
}

// restart ends every machine as a crash does and starts it again.
func (s *simulation) restart() {
	s.t.Helper()
	if err := s.Restart(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// TestDeliveryToAStartingMachineComesOnce lets a machine start between the sync of an event that it is subscribed to and its delivery.
func TestDeliveryToAStartingMachineComesOnce(t *testing.T) {
	var armed atomic.Bool
	var h *host
	virtual := clock.NewVirtual(start)
	cfg := runtime.Config{
		Clock:     virtual,
		Catalogue: newFakes(), StateDir: t.TempDir(), Workers: 2,
		Random: func(below time.Duration) time.Duration { return below / 5 },
		Hook: func(point string) {
			if point == runtime.HookCommit && armed.CompareAndSwap(true, false) {
				virtual.Advance(10 * time.Second)
				if !comes(func() bool {
					return slices.ContainsFunc(h.Machines(), func(m runtime.MachineStatus) bool { return m.Name == "pong" && m.Seq >= 2 })
				}) {
					t.Error("the subscriber does not start and take the event")
				}
			}
		},
	}
	h = runHost(t, cfg)
	h.deploy(crashPing)
	h.deploy(strings.Replace(crashPong, "initial_state", "splay_start: 10\ninitial_state", 1))
	eventually(t, "what is committed next is the event", func() bool {
		return slices.ContainsFunc(h.Machines(), func(m runtime.MachineStatus) bool { return m.Name == "ping" && m.Seq == 1 })
	})
	armed.Store(true)
	h.fire("ping", "serve")
	h.fire("ping", "serve")
	eventually(t, "the second event has been answered", func() bool { return h.detail("ping").Data["heard"] == 2 })
	if d := h.detail("pong"); d.Data["taken"] != 2 {
		t.Errorf("%d events were taken of 2", d.Data["taken"])
	}
}

// TestInterruptedLookDoesNotReachTheNextVisit lets an operator leave the state of an interrupted look before the machine hears of it.
func TestInterruptedLookDoesNotReachTheNextVisit(t *testing.T) {
	src := strings.Replace(guardedVersion("1.0.0"), "break, from: [running]", "break, from: [running, idle]", 1)
	begun := make(chan struct{})
	fakes := newFakes()
	fakes.check("script", func(ctx context.Context, _ *watchers.Look) watchers.Report {
		close(begun)
		<-ctx.Done()
		return watchers.Failure("cancelled")
	})
	cfg := runtime.Config{Catalogue: fakes, StateDir: t.TempDir(), Random: func(time.Duration) time.Duration { return 0 }}
	h := runHost(t, cfg)
	h.deploy(src)
	h.fire("work", "go")
	<-begun
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	var left atomic.Bool
	cfg.Hook = func(point string) {
		if point == runtime.HookCommit && left.CompareAndSwap(false, true) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = h.Fire(ctx, "work", "leave", nil, "op") // queues the event; nobody waits for the answer
		}
	}
	h = runHost(t, cfg)
	h.deploy(src)
	eventually(t, "the operator's event was taken", func() bool { return h.detail("work").State != "running" && h.detail("work").Waiting == 0 })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	last, err := runtime.ReadSnapshots(t.Context(), cfg.StateDir)
	if err != nil || last["work"].State != "idle" || len(last["work"].Running) > 0 {
		t.Errorf("%+v, %v", last["work"], err)
	}
}
