package scenario

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// The bounds of one test, far above what a test that people read needs.
const (
	maxRecords = 5_000
	maxWakes   = 100_000
)

// defaultInstance is the key of a template's instance where the test gives none.
const defaultInstance = "instance"

// operator is whom the events of fire steps come from.
const operator = "scenario"

// Run runs the tests whose names match, all where match is nil, each in a fresh host. The error is that of ctx.
func (s *Suite) Run(ctx context.Context, match func(name string) bool) (*Report, error) {
	m := s.subject()
	report := &Report{File: s.file, Machine: m.name(), Version: m.Manifest.Version, Tests: []Result{}}
	seen := newCollector(m)
	for _, t := range s.tests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if match == nil || match(t.Name.value) {
			report.Tests = append(report.Tests, s.runTest(ctx, t, seen))
		}
	}
	report.Coverage = seen.coverage()
	return report, ctx.Err()
}

// run is one test in progress.
type run struct {
	suite   *Suite
	test    *test
	seen    *collector
	sim     *runtime.Simulation
	clock   *clock.Virtual
	looks   []*runtime.PendingLook        // in progress, oldest first
	hang    map[*runtime.PendingLook]bool // those that do not return by themselves
	every   map[string]*given             // what every look of a watcher comes to, by machine and watcher
	records int
	wakes   int
	// taken and last are, by machine, the event taken last and the record of the event given last.
	taken     map[string]string
	last      map[string]machine.Record
	published []map[string]any // not yet asked for
	result    Result
	at        diag.Position // of the present step
}

// tooMuch ends a test that would not end by itself.
type tooMuch string

func (s *Suite) runTest(ctx context.Context, t *test, seen *collector) Result {
	r := &run{
		suite: s, test: t, seen: seen, hang: map[*runtime.PendingLook]bool{}, every: map[string]*given{}, taken: map[string]string{}, last: map[string]machine.Record{},
		clock:  clock.NewVirtual(t.Start.or(s.start)),
		result: Result{Name: t.Name.value, Line: t.Name.pos.Line, Transcript: []string{}},
		at:     t.Name.pos,
	}
	r.steps(ctx)
	r.result.Passed = len(r.result.Failures) == 0
	return r.result
}

// steps takes the steps until one fails.
func (r *run) steps(ctx context.Context) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case tooMuch:
			r.fail(string(p), "", "")
		default:
			panic(p)
		}
	}()
	if err := r.begin(ctx); err != nil {
		r.fail("the machines cannot be started", "", err.Error())
		return
	}
	defer r.sim.Close() // keeps everything in memory: there is nothing to lose
	for i := range r.test.Steps {
		r.at = r.test.Steps[i].pos
		r.step(ctx, &r.test.Steps[i])
		if len(r.result.Failures) > 0 || ctx.Err() != nil {
			return
		}
	}
}

// begin starts the machines, the tested one last.
func (r *run) begin(ctx context.Context) error {
	facts, err := r.facts()
	if err != nil {
		return err
	}
	r.sim, err = runtime.NewSimulation(runtime.Config{
		Identity: r.suite.doc.Identity, Catalogue: r.suite.catalogue, Log: slog.New(slog.DiscardHandler),
		Bus: r, Facts: facts, Observe: r.observe,
		Random:    func(below time.Duration) time.Duration { return max(0, below) / 2 },
		Intercept: func(p *runtime.PendingLook) { r.looks = append(r.looks, p) },
	}, r.clock)
	if err != nil {
		return err
	}
	for _, m := range r.suite.machines {
		if m == r.suite.subject() {
			r.sim.First(r.first())
		}
		if err := r.sim.Deploy(ctx, r.deployment(m)); err != nil {
			return err
		}
	}
	r.settle()
	return nil
}

// deployment is how a machine runs in the test. Of a template an instance runs, under the template's name.
func (r *run) deployment(m *loaded) runtime.Deployment {
	d := runtime.Deployment{Definition: m.Definition, Directory: m.directory}
	if m.Manifest.Kind == machine.KindTemplate {
		d.Instance = cmp.Or(r.test.Instance.value, defaultInstance)
	}
	if m == r.suite.subject() {
		d.Input = r.test.Input.plain()
	}
	return d
}

// first returns what changes the first record of the tested machine to the test's state and data.
func (r *run) first() func(*machine.Record) {
	done := false
	return func(rec *machine.Record) {
		if done || rec.Machine != r.suite.Machine() {
			return
		}
		done = true
		if state := r.test.State.value; state != "" {
			r.suite.subject().MoveStart(rec, state)
		}
		if len(r.test.Data) > 0 {
			set := r.test.Data.plain()
			for key, v := range rec.Set {
				if _, given := set[key]; !given {
					set[key] = v
				}
			}
			rec.Set = set
		}
	}
}

func (r *run) facts() (*watchers.Facts, error) {
	given := r.suite.doc.Facts
	if r.test.Facts != nil {
		given = r.test.Facts
	}
	return readFacts(given)
}

func readFacts(given values) (*watchers.Facts, error) {
	if given == nil {
		return nil, nil
	}
	raw, err := json.Marshal(given.plain())
	if err != nil {
		return nil, fmt.Errorf("encoding the facts: %w", err)
	}
	return watchers.NewFacts(raw)
}

// Publish implements runtime.Bus.
func (r *run) Publish(_ string, e event.Event) error {
	var fields map[string]any
	if err := e.DataAs(&fields); err != nil {
		return fmt.Errorf("reading a published document: %w", err)
	}
	plainValue(fields)
	r.published = append(r.published, fields)
	return nil
}

// observe is called with every record, in the machine's turn.
func (r *run) observe(rec *machine.Record, _ bool) {
	if r.records++; r.records > maxRecords {
		panic(tooMuch(fmt.Sprintf("the machines made more than %d records; look for events that follow each other without a pause", maxRecords)))
	}
	line := machine.Transcript(rec)
	if len(r.suite.machines) > 1 {
		line = rec.Machine + ": " + line
	}
	r.result.Transcript = append(r.result.Transcript, line)
	if rec.Machine == r.suite.Machine() {
		r.seen.record(rec)
	}
	if rec.Event == "" {
		return
	}
	r.last[rec.Machine] = *rec
	if rec.Kind == machine.RecordTransition || rec.Kind == machine.RecordStay {
		r.taken[rec.Machine] = rec.Event
	}
}

func (r *run) fail(what, wanted, got string) {
	r.result.Failures = append(r.result.Failures, Failure{Position: r.at, What: what, Wanted: wanted, Got: got})
}

func (r *run) step(ctx context.Context, s *step) {
	switch {
	case s.Expect != nil:
		r.expect(ctx, s.Expect)
	case s.Outcome != nil:
		r.outcome(s.Outcome)
	case s.Hang != nil:
		r.hangs(s.Hang)
	case s.Fire != nil:
		r.fire(ctx, s.Fire)
	case s.Advance != nil:
		r.advance(ctx, s.Advance.Std())
	case s.At != nil:
		r.advanceTo(ctx, s.At.time)
	case s.SetClock != nil:
		r.sim.SetWall(s.SetClock.time)
		r.settle()
	default:
		clear(r.hang) // it ends with its host
		if err := r.sim.Restart(ctx); err != nil {
			r.fail("the machines cannot be started again", "", err.Error())
		}
		r.settle()
	}
}

// settle lets happen what needs no time. A look whose state was left returns, as it does in a running host, and so does one whose time is up.
func (r *run) settle() {
	r.sim.Settle()
	for {
		i := slices.IndexFunc(r.looks, func(p *runtime.PendingLook) bool {
			return (p.Cancelled() || p.TimeUp() || r.every[lookKey(p)] != nil) && !r.hang[p]
		})
		if i < 0 {
			return
		}
		switch p := r.looks[i]; {
		case p.Cancelled():
			r.end(i, watchers.Failure("cancelled"))
		case p.TimeUp():
			r.end(i, watchers.Failure("its time was up"))
		default:
			r.end(i, r.every[lookKey(p)].report())
		}
		r.sim.Settle()
	}
}

// lookKey names the watcher of a look.
func lookKey(p *runtime.PendingLook) string { return p.Machine() + " " + p.Watcher() }

// end ends a look.
func (r *run) end(i int, report watchers.Report) {
	look := r.looks[i]
	r.looks = slices.Delete(r.looks, i, i+1)
	delete(r.hang, look)
	look.Complete(report)
}

// hangs has the look of a watcher not return.
func (r *run) hangs(h *hanging) {
	name := r.machine(h.Machine)
	if i := r.lookOf(name, h.Watcher, "what hangs is a watcher that is looking"); i >= 0 {
		r.hang[r.looks[i]] = true
	}
}

// lookOf returns the oldest look of a watcher. Without one it fails the step, and returns -1.
func (r *run) lookOf(machine string, watcher text, what string) int {
	i := slices.IndexFunc(r.looks, func(p *runtime.PendingLook) bool { return p.Machine() == machine && p.Watcher() == watcher.value })
	if i < 0 {
		r.fail(what, watcher.value+" looking", r.describe(machine))
	}
	return i
}

// advance lets time pass, from one instant at which something is due to the next.
func (r *run) advance(ctx context.Context, d time.Duration) {
	for ctx.Err() == nil {
		next, ok := r.sim.Next()
		if !ok || next > d {
			r.sim.Advance(d)
			r.settle()
			return
		}
		if r.wakes++; r.wakes > maxWakes {
			panic(tooMuch(fmt.Sprintf("something was due more than %d times; advance by less, or give the watchers longer intervals", maxWakes)))
		}
		d -= next
		r.sim.Advance(next)
		r.settle()
	}
}

func (r *run) advanceTo(ctx context.Context, at time.Time) {
	now := r.clock.Now()
	if at.Before(now) {
		r.fail("time does not go back; set_clock sets the clock", at.Format(time.RFC3339), now.Format(time.RFC3339Nano))
		return
	}
	r.advance(ctx, at.Sub(now))
}

func (r *run) fire(ctx context.Context, f *fire) {
	name := r.machine(f.Machine)
	_, err := r.sim.Fire(ctx, name, f.Event.value, f.Payload.plain(), operator)
	if err != nil && !errors.Is(err, runtime.ErrWaiting) {
		r.fail(fmt.Sprintf("firing %s at %s", f.Event.value, name), "", err.Error())
	}
	r.settle()
}

// machine is the name of the machine that a step is about.
func (r *run) machine(t text) string {
	if t.value == "" {
		return r.suite.Machine()
	}
	return t.value
}

// outcome ends the look of a watcher, or each of its looks from now on.
func (r *run) outcome(g *given) {
	name := r.machine(g.Machine)
	if g.Facts != nil {
		if _, err := readFacts(g.Facts); err != nil {
			r.fail("the facts cannot be taken", "", err.Error())
			return
		}
	}
	key := name + " " + g.Watcher.value
	delete(r.every, key)
	if g.Every {
		r.every[key] = g
		maps.DeleteFunc(r.hang, func(p *runtime.PendingLook, _ bool) bool { return lookKey(p) == key })
		r.settle()
		return
	}
	i := r.lookOf(name, g.Watcher, "an outcome is for a watcher that is looking")
	if i < 0 {
		return
	}
	if look := r.looks[i]; look.Listener() {
		look.Emit(g.report())
	} else {
		r.end(i, g.report())
	}
	r.settle()
}

// report is what the watcher reports, anew for each look, as records keep it. Its facts can be read.
func (g *given) report() watchers.Report {
	report := watchers.Report{Outcome: g.Outcome.value, Payload: g.Payload.plain(), Data: g.Data.plain(), Message: g.Message}
	if facts, err := readFacts(g.Facts); err == nil && facts != nil {
		report.Facts = facts.JSON()
	}
	return report
}

// looking returns the watchers of a machine whose looks are in progress, by name.
func (r *run) looking(name string) []string {
	names := map[string]bool{}
	for _, p := range r.looks {
		if p.Machine() == name {
			names[p.Watcher()] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// describe says what a machine is doing.
func (r *run) describe(name string) string {
	looking := "nothing is looking"
	if names := r.looking(name); len(names) > 0 {
		looking = strings.Join(names, ", ") + " looking"
	}
	for _, m := range r.sim.Machines() {
		if m.Name == name && m.State != "" {
			return fmt.Sprintf("%s (in state %s, %s)", looking, m.State, r.clock.Now().Format(time.RFC3339))
		}
	}
	return looking + ", the machine has not started"
}
