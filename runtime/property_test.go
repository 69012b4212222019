package runtime_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers"
)

// drawn is a machine of a random manifest in a simulation, with everything that can still reach it.
type drawn struct {
	t       *rapid.T
	sim     *runtime.Simulation
	def     *machine.Definition
	looks   []*runtime.PendingLook // not completed, of this life of the host
	late    []*runtime.PendingLook // of lives before
	records []machine.Record
	last    machine.Snapshot // by the records alone
}

func simulateDrawn(t *rapid.T, def *machine.Definition, c *fakes) *drawn {
	d := &drawn{t: t, def: def}
	sim, err := runtime.NewSimulation(runtime.Config{
		Identity: "n1.example.net", Catalogue: c, Log: quiet(),
		Random:    func(below time.Duration) time.Duration { return below / 2 },
		Intercept: func(p *runtime.PendingLook) { d.looks = append(d.looks, p) },
		Observe:   func(r *machine.Record, _ bool) { d.take(r) },
	}, clock.NewVirtual(start))
	if err != nil {
		t.Fatal(err)
	}
	d.sim = sim
	if err := sim.Deploy(t.Context(), runtime.Deployment{Definition: def}); err != nil {
		t.Fatal(err)
	}
	sim.Settle()
	return d
}

// take holds every record against what the definition decides in the state that the records before it lead to.
func (d *drawn) take(r *machine.Record) {
	again := d.decideAgain(r)
	if diff := cmp.Diff(again, *r, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(machine.Record{}, "Notify")); diff != "" {
		d.t.Fatalf("record %d is decided otherwise again (-again +live):\n%s", r.Seq, diff)
	}
	if !slices.Contains(d.def.States(), r.To) {
		d.t.Fatalf("unknown state: %+v", r)
	}
	d.last = d.last.Apply(r, "")
	d.records = append(d.records, *r)
}

func (d *drawn) decideAgain(r *machine.Record) machine.Record {
	switch r.Kind {
	case machine.RecordStart:
		return d.def.Start(machine.Origin{}, r.At)
	case machine.RecordRecovery:
		return d.def.Recover(&d.last, r.At)
	case machine.RecordEffect:
		return d.def.Effect(&d.last, r.Cause.Name, r.At)
	default:
		return d.def.Step(&d.last, eventOf(r), r.At)
	}
}

func eventOf(r *machine.Record) machine.Event {
	return machine.Event{Name: r.Event, Outcome: r.Outcome, Message: r.Message, Payload: r.Payload, Data: r.Input, Cause: r.Cause}
}

// check holds what the host shows against what the records lead to.
func (d *drawn) check() {
	got, err := d.sim.Machine(d.t.Context(), d.def.Manifest.Name)
	if err != nil {
		d.t.Fatal(err)
	}
	shown := machine.Snapshot{State: got.State, Seq: got.Seq, Epoch: got.Epoch, Entered: got.Since, Data: got.Data}
	want := machine.Snapshot{State: d.last.State, Seq: d.last.Seq, Epoch: d.last.Epoch, Entered: d.last.Entered, Data: d.last.Data}
	if diff := cmp.Diff(want, shown, cmpopts.EquateEmpty()); diff != "" {
		d.t.Fatalf("state (-replayed +live):\n%s", diff)
	}
}

func (d *drawn) fire(event string) {
	if _, err := d.sim.Fire(d.t.Context(), d.def.Manifest.Name, event, nil, "op"); err != nil {
		d.t.Fatal(err)
	}
	d.sim.Settle()
}

// complete ends a look, which counts unless its activation has ended.
func (d *drawn) complete(i int, rep watchers.Report) {
	look := d.looks[i]
	d.looks = slices.Delete(d.looks, i, i+1)
	if look.Cancelled() {
		d.late = append(d.late, look)
		d.completeLate(len(d.late)-1, rep)
		return
	}
	look.Complete(rep)
	d.sim.Settle()
}

// completeLate ends a look of which nothing is expected any more, and wants it to change nothing.
func (d *drawn) completeLate(i int, rep watchers.Report) {
	look := d.late[i]
	d.late = slices.Delete(d.late, i, i+1)
	before := len(d.records)
	look.Complete(rep)
	d.sim.Settle()
	for _, r := range d.records[before:] {
		if r.Cause.Kind != machine.CauseWatcher || r.Kind != machine.RecordEffect {
			d.t.Fatalf("a late %s changed something: %+v", rep.Outcome, r)
		}
	}
}

func (d *drawn) restart() {
	d.late = append(d.late, d.looks...)
	d.looks = nil
	if err := d.sim.Restart(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// checkRuns wants every run that the records have open to belong to a look that is still expected, or to one that waits for an operator.
func (d *drawn) checkRuns() {
	for name, run := range d.last.Running {
		i := slices.IndexFunc(d.def.Manifest.Watchers, func(w machine.WatcherSpec) bool { return w.Name == name })
		expected := slices.ContainsFunc(d.looks, func(p *runtime.PendingLook) bool { return p.Watcher() == name && !p.Cancelled() })
		if !expected && (d.def.Manifest.Watchers[i].OnInterrupt != machine.Ask || !d.def.Matches(i, d.last.State)) {
			d.t.Fatalf("run %d of %s is open and nobody is running it", run, name)
		}
	}
	ended := map[uint64]int{}
	for _, r := range d.records {
		if r.Cause.Run == 0 || r.Kind == machine.RecordEffect {
			continue
		}
		if ended[r.Cause.Run]++; ended[r.Cause.Run] > 1 {
			d.t.Fatalf("run %d has ended twice: %+v", r.Cause.Run, r)
		}
	}
}

// drive does anything that can happen to a machine, in any order.
func (d *drawn) drive(steps int) {
	for range steps {
		outcome := rapid.SampledFrom([]string{machine.OutcomeSuccess, machine.OutcomeFail}).Draw(d.t, "outcome")
		rep := watchers.Report{Outcome: outcome}
		if rapid.Bool().Draw(d.t, "with data") {
			rep.Data = map[string]any{"n": rapid.IntRange(-2, 5).Draw(d.t, "n")}
		}
		switch rapid.IntRange(0, 9).Draw(d.t, "step") {
		case 0, 1, 2:
			d.fire(drawEvent(d.t))
		case 3, 4:
			d.sim.Advance(time.Duration(rapid.IntRange(1, 90).Draw(d.t, "seconds")) * time.Second)
		case 5, 6, 7:
			if len(d.looks) > 0 {
				d.complete(rapid.IntRange(0, len(d.looks)-1).Draw(d.t, "look"), rep)
			}
		case 8:
			if len(d.late) > 0 {
				d.completeLate(rapid.IntRange(0, len(d.late)-1).Draw(d.t, "late"), rep)
			}
		case 9:
			d.restart()
		}
		d.check()
		d.checkRuns()
	}
}

func TestPropertyLiveEqualsReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newFakes()
		d := simulateDrawn(rt, loadDrawn(rt, c, drawManifest(rt, drawRestart(rt), true)), c)
		d.drive(rapid.IntRange(1, 30).Draw(rt, "steps"))
	})
}

// TestPropertyRestartsChangeNothing decides what a machine has taken, restarts and all, again without them: state and data are the same.
func TestPropertyRestartsChangeNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newFakes()
		d := simulateDrawn(rt, loadDrawn(rt, c, drawManifest(rt, machine.Resume, true)), c)
		d.drive(rapid.IntRange(1, 30).Draw(rt, "steps"))
		var model machine.Snapshot
		for _, r := range d.records {
			switch r.Kind {
			case machine.RecordRecovery, machine.RecordEffect:
				continue
			case machine.RecordStart:
				r = d.def.Start(machine.Origin{}, r.At)
			default:
				r = d.def.Step(&model, eventOf(&r), r.At)
			}
			model = model.Apply(&r, "")
		}
		if model.State != d.last.State || !model.Entered.Equal(d.last.Entered) || !cmp.Equal(model.Data, d.last.Data, cmpopts.EquateEmpty()) {
			rt.Fatalf("the machine is in %s with %v, without restarts in %s with %v", d.last.State, d.last.Data, model.State, model.Data)
		}
	})
}

// TestPropertyRestartsKeepDeadlines gives the same events at the same times to a machine twice, once with restarts in
// between: deadlines fire at the same instants.
func TestPropertyRestartsKeepDeadlines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newFakes()
		c.add("never", &watchers.Prepared{New: func() watchers.Watcher { return never{} }})
		def := loadDrawn(rt, c, drawManifest(rt, machine.Resume, false))
		calm, shaken := simulateDrawn(rt, def, c), simulateDrawn(rt, def, c)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "restart") {
				shaken.restart()
			}
			event := drawEvent(rt)
			wait := time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds")) * time.Second
			for _, d := range []*drawn{calm, shaken} {
				d.fire(event)
				d.sim.Advance(wait)
				d.check()
			}
		}
		if diff := cmp.Diff(taken(calm.records), taken(shaken.records)); diff != "" {
			rt.Fatalf("events (-without +with restarts):\n%s", diff)
		}
	})
}

// taken lists what records decided, without what a restart adds to them.
func taken(records []machine.Record) (out []string) {
	for _, r := range records {
		if r.Kind != machine.RecordRecovery {
			out = append(out, fmt.Sprint(r.At, " ", r.Kind, " ", r.Event, " ", r.From, " ", r.To, " ", r.Set, " ", r.Cause.Kind))
		}
	}
	return out
}

func loadDrawn(t *rapid.T, c *fakes, src string) *machine.Definition {
	def, err := compileManifest(c, src)
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	return def
}

func drawEvent(t *rapid.T) string {
	return rapid.SampledFrom([]string{"e", "f", "g"}).Draw(t, "event")
}

// drawManifest writes a manifest that is valid by construction. It has no format, so that findings about what it means do not count.
func drawManifest(t *rapid.T, restart machine.OnRestart, watched bool) string {
	states := []string{"a", "b", "c", "d"}[:rapid.IntRange(2, 4).Draw(t, "states")]
	state := rapid.SampledFrom(states)
	src := "name: drawn\nversion: 1.0.0\ninitial_state: a\nmax_rate: none\non_restart: " + string(restart) + "\ndata: {n: {type: integer, default: 0}}\nstates:\n"
	for _, s := range states {
		src += fmt.Sprintf("  %s: {%s}\n", s, drawDeadlines(t))
	}
	src += "transitions:\n"
	for i := range rapid.IntRange(4, 9).Draw(t, "transitions") {
		event, from := drawEvent(t), rapid.SliceOfNDistinct(state, 1, len(states), rapid.ID).Draw(t, "from")
		if i < 4 { // every event and every state is in some transition
			event, from[0] = []string{"e", "f", "g", "e"}[i], states[i%len(states)]
		}
		// The number tells guards apart that would make one transition hide another.
		when := fmt.Sprintf("data.n != %d", 1000+i) + rapid.SampledFrom([]string{"", " and data.n > 2", " and data.n % 2 == 0", " and data.n < 0"}).Draw(t, "when")
		set := rapid.SampledFrom([]string{"", "n: data.n + 1", "n: 0 - data.n", "n: 1 / 0"}).Draw(t, "set")
		src += fmt.Sprintf("  - {name: %s, from: [%s], destination: %s, when: %q, set: {%s}, reenter: %t}\n",
			event, joinList(from), state.Draw(t, "to"), when, set, rapid.Bool().Draw(t, "reenter"))
	}
	if !watched {
		return src + "watchers: [{name: w, type: never}]\n"
	}
	return src + drawWatchers(t, states)
}

func drawRestart(t *rapid.T) machine.OnRestart {
	return rapid.SampledFrom([]machine.OnRestart{machine.Resume, machine.Initial}).Draw(t, "restart")
}

func drawDeadlines(t *rapid.T) string {
	after := rapid.MapOfN(rapid.IntRange(1, 120), rapid.SampledFrom([]string{"e", "f", "g"}), 0, 2).Draw(t, "after")
	if len(after) == 0 {
		return "description: none"
	}
	var list []string
	for _, seconds := range slices.Sorted(maps.Keys(after)) {
		list = append(list, fmt.Sprintf("%ds: %s", seconds, after[seconds]))
	}
	return "after: {" + joinList(list) + "}"
}

func drawWatchers(t *rapid.T, states []string) string {
	src := "watchers:\n"
	for i := range rapid.IntRange(1, 3).Draw(t, "watchers") {
		match := rapid.SliceOfNDistinct(rapid.SampledFrom(states), 1, len(states), rapid.ID).Draw(t, "match")
		src += fmt.Sprintf("  - {name: w%d, type: probe, state_match: [%s], success_transition: %s, fail_transition: %s, on_interrupt: %s, on_leave: cancel%s}\n",
			i, joinList(match), drawEvent(t), drawEvent(t),
			rapid.SampledFrom([]string{"rerun", "fail", "ask"}).Draw(t, "interrupt"),
			rapid.SampledFrom([]string{"", ", interval: 5s", ", interval: 1m, splay: 30s", ", retry: {max: 2}"}).Draw(t, "more"))
	}
	return src
}

func joinList(list []string) string { return strings.Join(list, ", ") }
