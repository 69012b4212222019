package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

const runner = toggler + inMemory + `watchers:
  - {name: one, type: exec, state_match: [a], success_transition: go_b, properties: {command: /bin/true}}
  - {name: two, type: exec, state_match: [b], success_transition: go_a, properties: {command: /bin/true}}
`

const (
	runners  = 4
	runSpan  = 8 * time.Second
	bareSpan = 2 * time.Second // before, and as long after
)

// commands measures how many commands a host runs, beside bare fork and exec with as many at once.
func (b *bench) commands() ([]row, error) {
	rate, bare, err := around(bareCommands, hostedCommands)
	if err != nil {
		return nil, err
	}
	return []row{row{What: "commands run by exec watchers", Value: rate[0], Unit: "/s"}.beside("fork + exec alone", bare[0]).atLeast(1000)}, nil
}

// hostedCommands counts the host's records: each command that succeeds makes one, and no other may be there.
func hostedCommands() (rate []float64, err error) {
	var ran, other atomic.Int64
	h, err := newHost("", runners, runner, func(r *machine.Record, _ bool) {
		if r.Kind == machine.RecordTransition && r.Outcome == machine.OutcomeSuccess {
			ran.Add(1)
		} else if r.Kind != machine.RecordStart {
			other.Add(1)
		}
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	<-time.After(time.Second)
	before, began := ran.Load(), time.Now()
	<-time.After(runSpan)
	made, span := ran.Load()-before, time.Since(began)
	if made == 0 || other.Load() > 0 {
		return nil, fmt.Errorf("the host recorded %d commands that succeeded and %d other things", made, other.Load())
	}
	return []float64{float64(made) / span.Seconds()}, nil
}

func bareCommands() ([]float64, error) {
	var ran atomic.Int64
	errs, began := make([]error, runners), time.Now()
	var done sync.WaitGroup
	for i := range runners {
		done.Go(func() {
			for time.Since(began) < bareSpan && errs[i] == nil {
				p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Env: []string{}})
				if err == nil {
					_, err = p.Wait()
				}
				errs[i] = err
				ran.Add(1)
			}
		})
	}
	done.Wait()
	return []float64{float64(ran.Load()) / time.Since(began).Seconds()}, errors.Join(errs...)
}
