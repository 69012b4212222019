package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers/all"
)

func catalogue() *all.Catalogue { return all.New(all.Services{}) }

// host is a running host of this process.
type host struct {
	*runtime.Host
	stop func() error
}

// newHost starts a host with n machines of a manifest.
func newHost(stateDir string, n int, manifest string, observe func(*machine.Record, bool)) (*host, error) {
	system, err := clock.NewReal()
	if err != nil {
		return nil, err
	}
	h, err := runtime.New(runtime.Config{
		Identity: "bench", Catalogue: catalogue(), Clock: system, StateDir: stateDir, Observe: observe,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	running := &host{Host: h, stop: func() error {
		cancel()
		return errors.Join(<-ended, system.Close())
	}}
	if err := running.deploy(n, manifest); err != nil {
		return nil, errors.Join(err, running.stop())
	}
	return running, nil
}

// deploy runs n machines of one manifest, a few at a time, so that durable ones share their syncs.
func (h *host) deploy(n int, manifest string) error {
	def, problems := machine.Load("bench.yaml", []byte(manifest), catalogue())
	if def == nil {
		return problems.Err()
	}
	const lanes = 64
	errs := make([]error, lanes)
	var done sync.WaitGroup
	for lane := range lanes {
		done.Go(func() {
			for i := lane; i < n && errs[lane] == nil; i += lanes {
				d := runtime.Deployment{Definition: def, Name: nameOf(i), Directory: os.TempDir()}
				errs[lane] = h.Deploy(context.Background(), d)
			}
		})
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("deploying %d machines: %w", n, err)
	}
	if got := h.Health(); got.Machines < n || len(got.Degraded) > 0 {
		return fmt.Errorf("the host has %d machines of %d and is degraded: %v", got.Machines, n, got.Degraded)
	}
	return nil
}

func nameOf(i int) string { return fmt.Sprintf("m%06d", i) }

// records is how many records the machines have in all, as the host publishes them.
func (h *host) records() (sum uint64) {
	for _, m := range h.Machines() {
		sum += m.Seq
	}
	return sum
}

const toggler = `
format: 1
name: toggler
version: 1.0.0
initial_state: a
states: {a: {home: true}, b: {home: true}}
transitions:
  - {name: go_b, from: [a], destination: b}
  - {name: go_a, from: [b], destination: a}
`

// inMemory is a row of a manifest.
const inMemory = "durable: false\n"
