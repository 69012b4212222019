package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

const tries = 5

const stuck = toggler + inMemory + `watchers:
  - {name: stuck, type: exec, state_match: [a], on: {timeout: go_b}, properties: {command: "sh -c '%s'", timeout: 1s}}
`

// timeouts measures how long after its time-out a command counts as timed out.
func (b *bench) timeouts() (rows []row, err error) {
	for _, v := range []struct{ name, command string }{
		{"a grandchild holding the output", "sleep 30 & sleep 30"},
		{"SIGTERM ignored", `trap \"\" TERM; sleep 30 & sleep 30`},
	} {
		over, err := overtime(fmt.Sprintf(stuck, v.command))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		rows = append(rows, spread("over an exec time-out of 1 s, "+v.name, over, 100)...)
	}
	return rows, nil
}

// overtime takes the times from the host's records: of the one that starts the look to the one of its outcome.
func overtime(manifest string) (over []time.Duration, err error) {
	records := make(chan machine.Record, 16)
	h, err := newHost("", 1, manifest, func(r *machine.Record, _ bool) { records <- *r })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	for range tries {
		begun, err := next(records, "a")
		if err != nil {
			return nil, err
		}
		end, err := next(records, "b")
		if err != nil || end.Outcome != machine.OutcomeTimeout {
			return nil, errors.Join(fmt.Errorf("the command ended with %q", end.Outcome), err)
		}
		over = append(over, end.At.Sub(begun.At)-time.Second)
		if _, err := h.Fire(context.Background(), nameOf(0), "go_a", nil, "bench"); err != nil {
			return nil, err
		}
	}
	return over, nil
}

// next returns the next record, which must lead to a state.
func next(records <-chan machine.Record, state string) (r machine.Record, err error) {
	const patience = 20 * time.Second
	select {
	case r = <-records:
		if r.To != state {
			err = fmt.Errorf("the machine went to %q, not to %q", r.To, state)
		}
		return r, err
	case <-time.After(patience):
		return r, fmt.Errorf("the host recorded nothing for %s", patience)
	}
}

// stopping measures from SIGTERM to the end of a process whose machine flaps.
func (b *bench) stopping() ([]row, error) {
	name := filepath.Join(b.dir, "flap.yaml")
	if err := os.WriteFile(name, []byte(runner), 0o644); err != nil {
		return nil, err
	}
	took := make([]time.Duration, tries)
	for i := range took {
		p, err := b.start(fmt.Sprintf("flap%d", i), name)
		if err != nil {
			return nil, err
		}
		flaps := p.awaitFlapping()
		began := time.Now()
		ended := p.end()
		took[i] = time.Since(began)
		if err := errors.Join(flaps, ended); err != nil {
			return nil, err
		}
	}
	return spread("host stops while a machine flaps", took, 1000), nil
}

// spread is the rows of a few tries.
func spread(what string, took []time.Duration, most float64) []row {
	return []row{
		row{What: fmt.Sprintf("%s, median of %d", what, len(took)), Value: quantile(took, 50), Unit: "ms"}.atMost(most),
		row{What: fmt.Sprintf("%s, longest of %d", what, len(took)), Value: quantile(took, 99), Unit: "ms"}.atMost(most),
	}
}

// awaitFlapping returns when the machine has made many transitions.
func (p *process) awaitFlapping() (err error) {
	const enough, patience = 200, 20 * time.Second
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for began := time.Now(); time.Since(began) < patience; <-poll.C {
		var all hosted
		if all, err = p.states(); err == nil && len(all.Machines) == 1 && all.Machines[0].Seq > enough {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("the machine made no %d transitions within %s", enough, patience), err)
}
