package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/looplab/fsm"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
)

const turns = 500_000

// rally is two machines that take each other's event for ever: nothing but turns.
const rally = `
format: 1
name: NAME
version: 1.0.0
initial_state: a
durable: false
states: {a: {home: true}, b: {home: true}}
transitions:
  - {name: go_b, from: [a], destination: b, subscribe: [{machine_name: OTHER, event: go_b}, {machine_name: OTHER, event: go_a}]}
  - {name: go_a, from: [b], destination: a, subscribe: [{machine_name: OTHER, event: go_b}, {machine_name: OTHER, event: go_a}]}
`

// turn measures whole turns in memory, on one goroutine and without a clock, beside what looplab/fsm takes of them.
func (b *bench) turn() ([]row, error) {
	took, alone, err := around(looplabAlone, turnInMemory)
	if err != nil {
		return nil, err
	}
	return []row{row{What: "whole turn in memory", Value: took[0], Unit: "us"}.beside("looplab/fsm alone", alone[0]).atMost(1.5)}, nil
}

// enough ends a rally, which has no end of its own.
type enough struct{}

// turnInMemory returns the microseconds of a turn. The host counts the turns: only transitions are.
func turnInMemory() (took []float64, err error) {
	counted := 0
	sim, err := runtime.NewSimulation(runtime.Config{
		Identity: "bench", Catalogue: catalogue(), Log: slog.New(slog.DiscardHandler), Intercept: func(*runtime.PendingLook) {},
		Observe: func(r *machine.Record, _ bool) {
			if r.Kind != machine.RecordTransition {
				return
			}
			if counted++; counted == turns {
				panic(enough{})
			}
		},
	}, clock.NewVirtual(time.Unix(1_700_000_000, 0)))
	if err != nil {
		return nil, err
	}
	for _, pair := range [][2]string{{"ping", "pong"}, {"pong", "ping"}} {
		def, problems := machine.Load("rally.yaml", []byte(strings.NewReplacer("NAME", pair[0], "OTHER", pair[1]).Replace(rally)), catalogue())
		if def == nil {
			return nil, problems.Err()
		}
		if err := sim.Deploy(context.Background(), runtime.Deployment{Definition: def}); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	defer func() {
		ended := recover()
		if _, ok := ended.(enough); !ok {
			err = fmt.Errorf("the rally ended after %d of %d turns: %v, %w", counted, turns, ended, err)
		}
		took = []float64{float64(time.Since(began).Nanoseconds()) / 1000 / turns}
	}()
	_, err = sim.Fire(context.Background(), "ping", "go_b", nil, "bench")
	sim.Settle()
	return nil, err
}

// looplabAlone returns the microseconds that the engine takes of a turn, used as a turn uses it.
func looplabAlone() ([]float64, error) {
	engine := fsm.NewFSM("a", fsm.Events{{Name: "0", Src: []string{"a"}, Dst: "b"}, {Name: "1", Src: []string{"b"}, Dst: "a"}}, nil)
	began := time.Now()
	for i := range turns {
		state, event, want := "a", "0", "b"
		if i%2 == 1 {
			state, event, want = "b", "1", "a"
		}
		engine.SetState(state)
		if err := engine.Event(context.Background(), event); err != nil || engine.Current() != want {
			return nil, fmt.Errorf("looplab/fsm is in %s, not in %s: %w", engine.Current(), want, err)
		}
	}
	return []float64{float64(time.Since(began).Nanoseconds()) / 1000 / turns}, nil
}
