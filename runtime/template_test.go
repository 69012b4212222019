package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/watchers"
)

// jobTemplate ends in done when its watcher succeeds, and is refused where its input says so.
const jobTemplate = `
format: 1
kind: template
name: job
version: 1.0.0
durable: DURABLE
initial_state: working
data: {who: {type: string}}
states: {done: {final: success}, refused: {final: failure}}
transitions:
	- {name: worked, from: [working], destination: refused, when: input.allowed == false}
	- {name: worked, from: [working], destination: done, set: {who: instance}}
watchers:
	- {name: probe, type: probe, state_match: [working], success_transition: worked}
`

// counter counts the instances that have ended well.
const counter = `
format: 1
name: counter
version: 1.0.0
initial_state: counting
data: {jobs: {type: integer, default: 0}}
transitions:
	- {name: count, from: [counting], destination: counting, set: {jobs: data.jobs + 1}, subscribe: [{machine_name: job, event: worked}]}
`

func order(key string, input map[string]any) watchers.SpawnOrder {
	return watchers.SpawnOrder{Identity: "n1.example.net", Template: "job", Key: key, Input: input}
}

func (s *simulation) spawn(o watchers.SpawnOrder) bool {
	s.t.Helper()
	started, err := s.Spawn(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Settle()
	return started
}

func TestInstancesOfATemplate(t *testing.T) {
	s := simulate(t, newFakes(), counter, replaced(jobTemplate, "DURABLE", "false"))
	if got := len(s.Machines()); got != 1 {
		t.Fatalf("%d machines run; a template starts none", got)
	}
	if !s.spawn(order("a", nil)) || s.spawn(order("a", nil)) {
		t.Error("an instance starts once a key")
	}
	s.spawn(order("b", map[string]any{"allowed": false}))
	s.wantState("job:a", "working")
	if p := s.looks["probe"][0].View(); p.Instance != "a" || p.Machine != "job" {
		t.Errorf("the look is of %s %q", p.Machine, p.Instance)
	}
	s.complete("probe", watchers.Success())
	s.complete("probe", watchers.Success())
	if got := len(s.Machines()); got != 1 {
		t.Errorf("%d machines are left of which one has not ended", got)
	}
	last := s.records[len(s.records)-1]
	for _, r := range s.records {
		if r.Machine == "job" && r.Instance == "b" && r.Kind == machine.RecordTransition && r.To != "refused" {
			t.Errorf("the instance with other input went to %s", r.To)
		}
	}
	if d, err := s.Machine(t.Context(), "counter"); err != nil || d.Data["jobs"] != 2 {
		t.Errorf("the subscribed machine counted %v (%v), last record %+v", d.Data["jobs"], err, last)
	}
	if !s.spawn(order("a", nil)) {
		t.Error("a key is free again when its instance has ended")
	}
}

func TestSpawnSaysWhyItRefuses(t *testing.T) {
	s := simulate(t, newFakes(), replaced(jobTemplate, "DURABLE", "false"))
	limited := order("a", nil)
	limited.Limit = 1
	s.spawn(limited)
	limited.Key = "b"
	if _, err := s.Spawn(t.Context(), limited); !errors.Is(err, runtime.ErrTooMany) {
		t.Errorf("beyond the limit: %v", err)
	}
	unknown := order("a", nil)
	unknown.Template = "jbo"
	if _, err := s.Spawn(t.Context(), unknown); !errors.Is(err, runtime.ErrUnknownTemplate) {
		t.Errorf("of an unknown template: %v", err)
	}
	if _, err := s.Spawn(t.Context(), order("", nil)); err == nil {
		t.Error("an empty key is taken")
	}
	if _, err := s.Spawn(t.Context(), order("c", map[string]any{"f": func() {}})); err == nil {
		t.Error("input that cannot be recorded is taken")
	}
	if err := s.Remove(t.Context(), "job"); !errors.Is(err, runtime.ErrWaiting) {
		t.Fatalf("removing a template while an instance looks: %v", err)
	}
	s.Advance(2 * time.Second) // what a look is given to end
	if got := len(s.Machines()); got != 0 {
		t.Errorf("%d instances are left of a template that was removed", got)
	}
}

// TestH73InstancesAreCountedByWhomTheyAreFor: one who asks for many keeps nobody else from theirs, and has room again when some have ended.
func TestH73InstancesAreCountedByWhomTheyAreFor(t *testing.T) {
	s := simulate(t, newFakes(), replaced(jobTemplate, "DURABLE", "false"))
	ask := func(key, whom string) error {
		o := order(key, nil)
		o.Limit, o.For, o.LimitFor = 4, whom, 2
		_, err := s.Spawn(t.Context(), o)
		return err
	}
	for _, key := range []string{"a1", "a2"} {
		if err := ask(key, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask("a3", "a"); !errors.Is(err, runtime.ErrTooMany) {
		t.Errorf("a third of one: %v", err)
	}
	if err := ask("b1", "b"); err != nil {
		t.Errorf("of another: %v", err)
	}
	s.complete("probe", watchers.Success()) // a1
	if err := ask("a3", "a"); err != nil {
		t.Errorf("when one has ended: %v", err)
	}
	if err := ask("c1", ""); err != nil {
		t.Errorf("for nobody: %v", err)
	}
	if err := ask("b2", "b"); !errors.Is(err, runtime.ErrTooMany) {
		t.Errorf("beyond the limit of all: %v", err)
	}
}

// TestDurableInstancesGoOn ends a host between an instance's start and end.
func TestDurableInstancesGoOn(t *testing.T) {
	c, dir := newFakes(), t.TempDir()
	release := make(chan struct{})
	c.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return waiting(release) }})
	def := replaced(jobTemplate, "DURABLE", "true")
	h := runHost(t, runtime.Config{Catalogue: c, StateDir: dir})
	h.deploy(def)
	for i := range 3 {
		if _, err := h.Spawn(t.Context(), order(fmt.Sprint("k", i), map[string]any{"n": i})); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = runHost(t, runtime.Config{Catalogue: c, StateDir: dir})
	h.deploy(def)
	if got := len(h.Machines()); got != 3 {
		t.Fatalf("%d instances go on after a restart, want 3", got)
	}
	close(release)
	eventually(t, "the instances have ended", func() bool { return len(h.Machines()) == 0 })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h = runHost(t, runtime.Config{Catalogue: c, StateDir: dir})
	h.deploy(def)
	if got := len(h.Machines()); got != 0 {
		t.Errorf("%d instances that had ended run again", got)
	}
}

// TestIdentitiesDoNotSeeEachOther runs the same machines as two identities in one host.
func TestIdentitiesDoNotSeeEachOther(t *testing.T) {
	c := newFakes()
	s := simulate(t, c)
	for _, who := range []string{"n1.example.net", "n2.example.net"} {
		for _, m := range []string{counter, replaced(jobTemplate, "DURABLE", "true")} {
			if err := s.Deploy(t.Context(), runtime.Deployment{Definition: load(t, c, m), Identity: who}); err != nil {
				t.Fatal(err)
			}
		}
	}
	other := order("a", nil)
	other.Identity = "n2.example.net"
	s.spawn(other)
	if p := s.looks["probe"][0].View(); p.Identity != "n2.example.net" {
		t.Errorf("the look is of identity %s", p.Identity)
	}
	s.complete("probe", watchers.Success())
	for name, want := range map[string]int{"counter": 0, "n2.example.net/counter": 1} {
		if d, err := s.Machine(t.Context(), name); err != nil || d.Data["jobs"] != want {
			t.Errorf("%s counted %v, want %d (%v)", name, d.Data["jobs"], want, err)
		}
	}
}

// TestInputOfASite changes what a site configures: it is recorded, and kept across a restart.
func TestInputOfASite(t *testing.T) {
	c := newFakes()
	s := simulate(t, c)
	def := load(t, c, `
format: 1
name: keeper
version: 1.0.0
initial_state: a
data: {limit: {type: integer, default: 0}}
transitions:
	- {name: read, from: [a], destination: a, set: {limit: input.limit}}
`)
	deploy := func(limit int) {
		if err := s.Deploy(t.Context(), runtime.Deployment{Definition: def, Input: map[string]any{"limit": limit}}); err != nil {
			t.Fatal(err)
		}
		s.Settle()
		s.fire("keeper", "read")
	}
	for _, limit := range []int{3, 3, 4} {
		deploy(limit)
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d, err := s.Machine(t.Context(), "keeper"); err != nil || d.Data["limit"] != limit {
			t.Errorf("the machine read %v, want %d (%v)", d.Data["limit"], limit, err)
		}
	}
	var recorded int
	for _, r := range s.records {
		if r.Arguments != nil {
			recorded++
		}
	}
	if recorded != 2 {
		t.Errorf("the input was recorded %d times, want at the start and at its change", recorded)
	}
}

func replaced(manifest, key, value string) string { return strings.ReplaceAll(manifest, key, value) }

// waiting is a checker that succeeds when a channel is closed.
func waiting(release <-chan struct{}) checker {
	return func(ctx context.Context, _ *watchers.Look) watchers.Report {
		select {
		case <-release:
			return watchers.Success()
		case <-ctx.Done():
			return watchers.Failure("ended")
		}
	}
}

// TestInstancesAreCountedByTheirTemplate: those that go on after a restart count, those of two identities are added up, and a template that goes leaves nothing behind.
func TestInstancesAreCountedByTheirTemplate(t *testing.T) {
	c, dir := newFakes(), t.TempDir()
	release := make(chan struct{})
	c.add("probe", &watchers.Prepared{New: func() watchers.Watcher { return waiting(release) }})
	def := replaced(jobTemplate, "DURABLE", "true")
	h := runHost(t, runtime.Config{Catalogue: c, StateDir: dir})
	h.deploy(def)
	for _, key := range []string{"a", "b"} {
		if _, err := h.Spawn(t.Context(), order(key, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	h = runHost(t, runtime.Config{Catalogue: c, StateDir: dir, Metrics: reg})
	h.deploy(def)
	counted := func(want map[string]float64) {
		t.Helper()
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			if name, ok := strings.CutPrefix(f.GetName(), "statecraft_instances"); ok {
				for _, m := range f.GetMetric() {
					got[m.GetLabel()[0].GetValue()+name] = m.GetGauge().GetValue()
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("instances (-want +got):\n%s", diff)
		}
	}
	counted(map[string]float64{"job": 2})
	other := "n2.example.net"
	if err := h.Deploy(t.Context(), runtime.Deployment{Definition: load(t, c, def), Identity: other}); err != nil {
		t.Fatal(err)
	}
	o := order("a", nil)
	o.Identity, o.Limit = other, 5
	if _, err := h.Spawn(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	counted(map[string]float64{"job": 3, "job_limit": 5})
	if err := h.Remove(t.Context(), other+"/job"); err != nil {
		t.Fatal(err)
	}
	counted(map[string]float64{"job": 2})
	close(release)
	eventually(t, "the instances have ended", func() bool { return h.Instances()[0].Running == 0 })
	counted(map[string]float64{"job": 0})
	if err := h.Remove(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	counted(map[string]float64{})
}
