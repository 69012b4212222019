package machine

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/marks"
)

// drawManifest makes any small manifest that compiles: several transitions of one name with guards, "*",
// self transitions, data with and without types.
func drawManifest(t *rapid.T) *Manifest {
	states := []string{"a", "b", "c", "d"}[:rapid.IntRange(1, 4).Draw(t, "states")]
	state := rapid.SampledFrom(states)
	m := &Manifest{
		Format: rapid.IntRange(0, 1).Draw(t, "format"), Name: "m", Version: "1.0.0", InitialState: state.Draw(t, "initial"),
		OnRestart: rapid.SampledFrom([]OnRestart{Resume, Initial}).Draw(t, "restart"),
		Data:      []DataField{{Name: "n", Type: Integer, Default: 0}, {Name: "x", Type: Any}},
	}
	for range rapid.IntRange(1, 10).Draw(t, "transitions") {
		m.Transitions = append(m.Transitions, drawTransition(t, state))
	}
	for _, s := range states {
		m.States = append(m.States, StateSpec{Name: s, After: []Deadline{{After: time.Minute, Event: drawEvent(t)}}})
	}
	for _, name := range []string{"first", "second"} {
		if rapid.Bool().Draw(t, "group") {
			m.Groups = append(m.Groups, Group{
				Name: name, States: rapid.SliceOfNDistinct(state, 1, len(states), rapid.ID[string]).Draw(t, "members"),
				After: []Deadline{{After: time.Second, Event: drawEvent(t)}, {After: time.Hour, Event: drawEvent(t)}},
			})
		}
	}
	m.Source = fmt.Appendf(nil, "%+v%+v", m.Transitions, m.Groups)
	m.Digest = digestOf(m.Source)
	return m
}

func drawEvent(t *rapid.T) string { return rapid.SampledFrom([]string{"e", "f", "g"}).Draw(t, "event") }

func drawTransition(t *rapid.T, state *rapid.Generator[string]) Transition {
	tr := Transition{
		Name: drawEvent(t), Destination: state.Draw(t, "to"), Reenter: rapid.Bool().Draw(t, "reenter"),
		From: rapid.SliceOfN(rapid.OneOf(state, rapid.Just("*")), 1, 3).Draw(t, "from"),
		When: rapid.SampledFrom([]string{
			"", "data.n > 2", "data.n % 2 == 0", "event.payload.k == 1", "state == 'a'", "event.payload.list[0] > data.n", "data.x.y == 1",
			"all(event.payload.list, # > 0)", "at > date('2026-01-02T03:04:10Z')",
		}).Draw(t, "when"),
	}
	if rapid.Bool().Draw(t, "stays") {
		tr.Destination, tr.Stays, tr.Reenter = "", true, false
	}
	if rapid.Bool().Draw(t, "clear") {
		tr.Clear = []ClearedKey{{Key: "n"}, {Key: "x"}}
		return tr
	}
	if rapid.Bool().Draw(t, "set") {
		tr.Set = []Assignment{
			{Key: "n", Value: marks.Bare(rapid.SampledFrom([]string{"data.n + 1", "data.n * 2.5", "event.payload.k", "len(event.payload.list)"}).Draw(t, "n"), diag.Position{})},
			{Key: "x", Value: marks.Bare(rapid.SampledFrom([]string{"event.payload", "at", "string(data.x)", "nil", "1 / 0", "[data.n, 2.0]"}).Draw(t, "x"), diag.Position{})},
		}
	}
	return tr
}

// drawValue makes what callers may put into payloads and data, JSON or not quite.
func drawValue(t *rapid.T) any {
	return rapid.OneOf(
		rapid.Map(rapid.IntRange(-3, 3), func(i int) any { return i }),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 4), func(b []byte) any { return string(b) }),
		rapid.SampledFrom([]any{nil, true, "7", int64(1) << 60, uint64(1) << 63, []any{1.0, 2}, []any(nil), map[string]any{"y": 1.0}, []string{"a"}, 1e300, testTime}),
	).Draw(t, "value")
}

func drawObject(t *rapid.T) map[string]any {
	out := map[string]any{}
	for _, k := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"n", "x", "k", "list", "\xff"}), rapid.ID).Draw(t, "keys") {
		out[k] = drawValue(t)
	}
	return out
}

// drawRun starts a machine and gives it any sequence of what can happen to one.
func drawRun(t *rapid.T, l *live) {
	for range rapid.IntRange(0, 30).Draw(t, "events") {
		l.at = l.at.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "wait")))
		switch rapid.IntRange(0, 9).Draw(t, "what") {
		case 0:
			l.take(l.d.Recover(&l.s, l.at))
		case 1:
			l.take(l.d.Effect(&l.s, "w", l.at))
		case 2:
			ev := l.d.DeadlineEvent(l.s.State, 0)
			for _, g := range l.d.TimedGroups(l.s.State) {
				if dl, left := g.Next(l.s.Groups[g.Name]); left && rapid.Bool().Draw(t, "group's") {
					ev = g.DeadlineEvent(dl)
				}
			}
			l.take(l.d.Step(&l.s, ev, l.at))
		case 3:
			l.take(l.d.Replace(&l.s, l.at))
		default:
			ev := Event{Name: rapid.OneOf(rapid.SampledFrom([]string{"e", "f", "g", "", "nonsense"}), rapid.String()).Draw(t, "name"), Outcome: rapid.String().Draw(t, "outcome")}
			ev.Payload, ev.Data = drawObject(t), drawObject(t)
			ev.Cause = Cause{Kind: CauseWatcher, Name: "w", Run: uint64(rapid.IntRange(0, 2).Draw(t, "run"))}
			l.take(l.d.Step(&l.s, ev, l.at))
		}
	}
}

// rapidT lets live report to rapid.
type rapidT struct {
	testing.TB
	t *rapid.T
}

func (r rapidT) Helper()           {}
func (r rapidT) Fatal(args ...any) { r.t.Fatal(args...) }

func drawLive(t *rapid.T, tb testing.TB) *live {
	d, list := compile(drawManifest(t), nil)
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	l := startLive(rapidT{tb, t}, d)
	drawRun(t, l)
	return l
}

func TestPropertyNeverAnUnknownState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := drawLive(rt, t)
		states := l.d.States()
		for i, r := range l.records {
			if !slices.Contains(states, r.To) || r.Seq != uint64(i+1) {
				rt.Fatalf("record %d: %+v", i, r)
			}
			if i > 0 && (r.Epoch < l.records[i-1].Epoch || r.From != l.records[i-1].To) {
				rt.Fatalf("record %d does not follow: %+v after %+v", i, r, l.records[i-1])
			}
		}
	})
}

func TestPropertyRecordsSurviveBeingStored(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := drawLive(rt, t)
		for i, raw := range l.raw {
			got, err := DecodeRecord(raw)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(&l.records[i], got); diff != "" {
				rt.Fatalf("record %d (-live +stored):\n%s", i, diff)
			}
		}
		b := []byte(toJSON(l.s))
		got, err := DecodeSnapshot(b)
		if diff := cmp.Diff(&l.s, got); err != nil || diff != "" {
			rt.Fatalf("snapshot: %v (-live +stored):\n%s", err, diff)
		}
	})
}

func TestPropertyReplayEqualsLive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := drawLive(rt, t)
		cut := rapid.IntRange(0, len(l.records)-1).Draw(rt, "cut")
		got, err := Replay(openTrace(rt, l.trace(rt, cut)), l.d, nil, nil)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(l.s, got); diff != "" {
			rt.Fatalf("state (-live +replayed):\n%s", diff)
		}
	})
}

// TestPropertyLooplabEqualsTable holds the engine of live turns and the table of the checker against
// each other, for every rule in every state.
func TestPropertyLooplabEqualsTable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d, list := compile(drawManifest(rt), nil)
		if err := list.Err(); err != nil {
			rt.Fatal(err)
		}
		for s, state := range d.states {
			ways := map[int]int{}
			for _, w := range d.table.ways[s] {
				ways[w.rule] = w.to
			}
			for i := range d.rules {
				live, err := d.engine.fire(state, d.rules[i].event)
				to, ok := ways[i]
				if ok != (err == nil) || ok && d.states[to] != live {
					rt.Fatalf("rule %d in %s: looplab says %q, %v; the table says %d, %t", i, state, live, err, to, ok)
				}
			}
		}
	})
}

// TestPropertyStepIsPure holds two decisions of one event to be the same, and the snapshot to be untouched.
func TestPropertyStepIsPure(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := drawLive(rt, t)
		before := l.s
		before.Data = maps.Clone(l.s.Data)
		ev := Event{Name: drawEvent(rt), Payload: drawObject(rt), Data: drawObject(rt)}
		a, b := l.d.Step(&l.s, ev, l.at), l.d.Step(&l.s, ev, l.at)
		x, _, err := EncodeRecord(&a)
		y, _, err2 := EncodeRecord(&b)
		if err != nil || err2 != nil || !bytes.Equal(x, y) {
			rt.Fatalf("%s\n%s", x, y)
		}
		if diff := cmp.Diff(before, l.s); diff != "" {
			rt.Fatalf("the snapshot changed:\n%s", diff)
		}
	})
}
