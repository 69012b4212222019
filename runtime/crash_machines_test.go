package runtime_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/watchers"
)

// crashManifests are the machines of the process that is killed. Every one gets its own operator's events, which crashEvents
// repeats for ever.
func crashManifests() map[string]string {
	return map[string]string{"counter": crashCounter, "ping": crashPing, "pong": crashPong, "job": crashJob, "once": crashOnce}
}

func crashEvents() map[string][]string {
	return map[string][]string{
		"counter": {"add", "add", "flip", "add", "nonsense", "flip", "reset"},
		"ping":    {"serve"},
		"job":     {"go"},
		"once":    {"go", "mend"},
	}
}

// crashEvent is the i-th event of a machine's operator.
func crashEvent(name string, i int) string {
	events := crashEvents()[name]
	return events[i%len(events)]
}

const crashCounter = `
format: 1
name: counter
version: 1.0.0
initial_state: even
data: {n: {type: integer, default: 0}, resets: {type: integer, default: 0}}
states: {even: {home: true}, odd: {home: true}}
transitions:
	- {name: add, from: [even, odd], destination: odd, when: data.n % 2 == 0, set: {n: data.n + 1}}
	- {name: add, from: [even, odd], destination: even, set: {n: data.n + 1}}
	- {name: flip, from: [odd], destination: even, set: {n: data.n + 3}}
	- {name: reset, from: [even, odd], destination: even, when: data.n > 10, set: {n: "0", resets: data.resets + 1}}
`

const crashPing = `
format: 1
name: ping
version: 1.0.0
initial_state: a
max_rate: none
data: {served: {type: integer, default: 0}, heard: {type: integer, default: 0}}
states: {a: {home: true}}
transitions:
	- {name: serve, from: [a], destination: a, set: {served: data.served + 1}}
	- {name: hear, from: [a], destination: a, set: {heard: data.heard + 1}, subscribe: [{machine_name: pong, event: take}]}
`

const crashPong = `
format: 1
name: pong
version: 1.0.0
initial_state: a
max_rate: none
data: {taken: {type: integer, default: 0}}
states: {a: {home: true}}
transitions:
	- {name: take, from: [a], destination: a, reenter: true, set: {taken: data.taken + 1}, subscribe: [{machine_name: ping, event: serve}]}
`

const crashJob = `
format: 1
name: job
version: 1.0.0
initial_state: idle
data: {visits: {type: integer, default: 0}}
states: {idle: {home: true}}
transitions:
	- {name: go, from: [idle], destination: running, set: {visits: data.visits + 1}}
	- {name: finished, from: [running], destination: idle}
watchers:
	- {name: run, type: script, state_match: [running], success_transition: finished, fail_transition: finished}
`

const crashOnce = `
format: 1
name: once
version: 1.0.0
initial_state: idle
data: {visits: {type: integer, default: 0}}
states: {idle: {home: true}, broken: {home: true}}
transitions:
	- {name: go, from: [idle], destination: running, set: {visits: data.visits + 1}}
	- {name: finished, from: [running], destination: idle}
	- {name: break, from: [running], destination: broken}
	- {name: mend, from: [broken], destination: idle}
watchers:
	- {name: run, type: script, state_match: [running], on_interrupt: fail, success_transition: finished, fail_transition: break}
`

// scripts is a catalogue whose type "script" writes to a file when it starts and when it ends, as something that changes the world does.
func scripts(file string) *fakes {
	c := newFakes()
	c.check("script", func(ctx context.Context, l *watchers.Look) watchers.Report {
		mark := func(what string) error {
			return appendLine(file, fmt.Sprint(what, " ", l.Machine, " ", l.Data["visits"]))
		}
		if err := mark("start"); err != nil {
			return watchers.Failure(err.Error())
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return watchers.Failure("cancelled")
		}
		if err := mark("end"); err != nil {
			return watchers.Failure(err.Error())
		}
		return watchers.Report{Outcome: machine.OutcomeSuccess}
	})
	return c
}

func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, line)
	return err
}
