package machine

import (
	"testing"
	"time"
)

// pingPong is the smallest machine that moves.
func pingPong() *Manifest {
	return &Manifest{Name: "pingpong", Version: "1.0.0", InitialState: "ping", Transitions: []Transition{
		{Name: "hit", From: []string{"ping"}, Destination: "pong"},
		{Name: "hit", From: []string{"pong"}, Destination: "ping"},
	}}
}

func BenchmarkStep(b *testing.B) {
	d := mustCompile(b, pingPong())
	at := time.Unix(1_700_000_000, 0)
	start := d.Start(Origin{}, at)
	s := Snapshot{}.Apply(&start, "")
	ev := Event{Name: "hit", Cause: Cause{Kind: CauseOperator}}
	b.ReportAllocs()
	for b.Loop() {
		r := d.Step(&s, ev, at)
		s = s.Apply(&r, "")
	}
}

// BenchmarkLooplab is the part of BenchmarkStep that is not ours.
func BenchmarkLooplab(b *testing.B) {
	d := mustCompile(b, pingPong())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.engine.fire("ping", "0"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStepWithGuardAndSet(b *testing.B) {
	m := inventory()
	m.Transitions[5].When = ""
	d := mustCompile(b, m)
	at := time.Unix(1_700_000_000, 0)
	start := d.Start(Origin{}, at)
	s := Snapshot{}.Apply(&start, "")
	ev := Event{Name: "gather", Payload: map[string]any{"count": 3}, Cause: Cause{Kind: CauseOperator}}
	b.ReportAllocs()
	for b.Loop() {
		if r := d.Step(&s, ev, at); r.Kind != RecordTransition {
			b.Fatal(r.Reason)
		}
	}
}

func BenchmarkEncodeRecord(b *testing.B) {
	d := mustCompile(b, pingPong())
	r := d.Step(&Snapshot{State: "ping", Head: d.digest}, Event{Name: "hit", Cause: Cause{Kind: CauseWatcher, Name: "check"}, Outcome: "success"}, time.Unix(1_700_000_000, 5))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := EncodeRecord(&r); err != nil {
			b.Fatal(err)
		}
	}
}
