package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

// published is a machine whose first transition tells that it runs.
const published = `format: 1
name: %s
version: 1.0.0
initial_state: starting
states: {running: {home: true}}
transitions: [{name: go, from: [starting], destination: running}]
watchers: [{name: at_once, type: expression, state_match: [starting], success_transition: go, properties: {success_when: 'true'}}]
`

const (
	deliveries  = 3                // machines that are published one after the other
	cellAtRest  = 15 * time.Second // before each: inventories tell of the one before within 10 s, and its files are verified after 5 s at most
	deliveredIn = 2 * time.Minute
)

// delivery measures how long a machine that is published takes to run on every node of a cell.
func (b *bench) delivery() (rows []row, err error) {
	for _, count := range b.sizes(1, 50, 1000) {
		if err := enoughFiles(count); err != nil {
			return nil, err
		}
		err := b.inCell(decider{}, func(c *cell) error {
			took, err := c.delivery(count)
			rows = append(rows, took...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%d nodes: %w", count, err)
		}
	}
	return rows, nil
}

func (c *cell) delivery(count int) (rows []row, err error) {
	n, err := c.emulate("node", count, time.Minute+time.Duration(count)*patienceOfNode)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.end()) }()
	conn, err := c.operator()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	heard := make(chan *nats.Msg, 64*1024)
	for _, subject := range []string{"choria.machine.transition", "fleet.specs.spec.default"} {
		if _, err := conn.ChanSubscribe(subject, heard); err != nil {
			return nil, err
		}
	}
	if err := conn.Flush(); err != nil {
		return nil, err
	}
	var sinceCommand, sinceStored []time.Duration
	for i := range deliveries {
		if err := waitFor(c.ctx, cellAtRest); err != nil {
			return nil, err
		}
		began, stored, ran, err := c.deliver(fmt.Sprintf("bench%d", i), count, heard)
		if err != nil {
			return nil, err
		}
		for _, at := range ran {
			sinceCommand, sinceStored = append(sinceCommand, at.Sub(began)), append(sinceStored, at.Sub(stored))
		}
	}
	what := fmt.Sprintf("published machine runs on %s nodes, from ", thousands(count))
	for _, percent := range []int{50, 99} {
		rows = append(rows, row{What: what + fmt.Sprintf("the command's start, p%d", percent), Value: quantile(sinceCommand, percent), Unit: "ms"})
		stored := row{What: what + fmt.Sprintf("the spec's being stored, p%d", percent), Value: quantile(sinceStored, percent), Unit: "ms"}
		if percent == 99 {
			stored = stored.atMost(1000)
		}
		rows = append(rows, stored)
	}
	return rows, nil
}

// deliver publishes a machine and waits until each node has told that it runs.
func (c *cell) deliver(name string, count int, heard <-chan *nats.Msg) (began, stored time.Time, ran map[string]time.Time, err error) {
	folder := c.path("machines", name)
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(folder+"/machine.yaml", fmt.Appendf(nil, published, name), 0o644)); err != nil {
		return began, stored, nil, err
	}
	failed := make(chan error, 1)
	began = time.Now()
	go func() {
		_, err := c.output("publish", "--as", c.path("made", "operator"), folder)
		failed <- err
	}()
	ctx, cancel := context.WithTimeout(c.ctx, deliveredIn)
	defer cancel()
	ran = map[string]time.Time{}
	for len(ran) < count || stored.IsZero() || failed != nil {
		select {
		case m := <-heard:
			if m.Subject != "choria.machine.transition" {
				stored = time.Now()
			} else if node := runs(m, name); node != "" {
				if !ran[node].IsZero() {
					return began, stored, nil, fmt.Errorf("%s has started %s twice", node, name)
				}
				ran[node] = time.Now()
			}
		case err := <-failed:
			if err != nil {
				return began, stored, nil, err
			}
			failed = nil
		case <-ctx.Done():
			return began, stored, nil, fmt.Errorf("%d of %d nodes run %s: %w", len(ran), count, name, context.Cause(ctx))
		}
	}
	return began, stored, ran, nil
}

// runs is the node of which an event says that a machine has begun to run, "" for other events.
func runs(m *nats.Msg, name string) string {
	var e struct {
		Data struct{ Identity, Machine string }
	}
	if err := json.Unmarshal(m.Data, &e); err != nil || e.Data.Machine != name {
		return ""
	}
	return e.Data.Identity
}
