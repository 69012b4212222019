package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const (
	manyMachines = 2000
	asking       = 250 * time.Millisecond // between questions, each of which is a process beside the host
)

// manyManifest is one of many machines, each with a text of its own.
const manyManifest = `format: 1
name: many%04d
version: %s
description: one of many
initial_state: waiting
data:
  n: {type: integer, default: 0}
states:
  waiting: {home: true}
  busy: {after: {1m: ended}}
  resting: {home: true}
transitions:
  - {name: begin, from: [waiting, resting], destination: busy, set: {n: data.n + 1}}
  - {name: ended, from: [busy], destination: resting}
watchers:
  - {name: begin, type: timer, state_match: [waiting], fail_transition: begin, properties: {timer: 1h}}
  - {name: work, type: exec, state_match: [busy], success_transition: ended, fail_transition: ended, properties: {command: /bin/true}}
`

// machines measures how long a host with many machines takes to have all of them again after a restart, and after all manifests have
// changed.
func (b *bench) machines() (rows []row, err error) {
	folder := filepath.Join(b.dir, "many")
	if err := errors.Join(os.Mkdir(folder, 0o755), writeMany(folder, "1.0.0")); err != nil {
		return nil, err
	}
	times := map[string]time.Duration{}
	var started, used time.Duration
	for _, round := range []string{"start", "restart"} {
		began := time.Now()
		p, err := b.start("many-state", folder)
		if err == nil {
			err = p.all("1.0.0")
			times[round] = time.Since(began)
		}
		if err == nil && round == "restart" {
			started, err = p.used()
		}
		if err == nil && round == "restart" {
			used, err = p.reload(folder, times)
		}
		if p != nil && p.child != nil {
			err = errors.Join(err, p.end())
		}
		if err != nil {
			return nil, err
		}
	}
	seconds := func(d time.Duration) float64 { return d.Seconds() }
	return []row{
		{What: "first start of 2,000 machines", Value: seconds(times["start"]), Unit: "s"},
		row{What: "restart of 2,000 machines", Value: seconds(times["restart"]), Unit: "s"}.atMost(3),
		{What: "restart of 2,000 machines, processor", Value: seconds(started), Unit: "s"},
		row{What: "reload of 2,000 machines, all changed", Value: seconds(times["reload"]), Unit: "s"}.atMost(5),
		{What: "reload of 2,000 machines, processor", Value: seconds(used), Unit: "s"},
	}, nil
}

// used is the processor time of a process so far.
func (p *process) used() (sum time.Duration, err error) {
	all, err := processorTime(p.Process.Pid)
	for _, one := range all {
		sum += one
	}
	return sum, err
}

// reload changes all manifests and waits for all machines to run them.
func (p *process) reload(folder string, times map[string]time.Duration) (used time.Duration, err error) {
	before, err := processorTime(p.Process.Pid)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := errors.Join(writeMany(folder, "1.1.0"), p.all("1.1.0")); err != nil {
		return 0, err
	}
	times["reload"] = time.Since(began)
	after, err := processorTime(p.Process.Pid)
	if err != nil {
		return 0, err
	}
	return after.since(before)
}

// all waits until every machine has recorded that it runs a version.
func (p *process) all(version string) error {
	return until(p.ctx, fmt.Sprintf("%d machines of version %s", manyMachines, version), func() (bool, error) {
		if err := waitFor(p.ctx, asking); err != nil {
			return false, err
		}
		out, err := p.output("states", "--state", p.state, "--json")
		if err != nil {
			return false, err
		}
		var said struct {
			Running  bool
			Machines []struct {
				Version string
				Seq     uint64
			}
		}
		if err := json.Unmarshal(out, &said); err != nil {
			return false, err
		}
		for _, m := range said.Machines {
			if m.Version != version || m.Seq == 0 {
				return false, nil
			}
		}
		return said.Running && len(said.Machines) == manyMachines, nil
	})
}

func writeMany(folder, version string) error {
	for i := range manyMachines {
		name := filepath.Join(folder, fmt.Sprintf("many%04d.yaml", i))
		if err := os.WriteFile(name, fmt.Appendf(nil, manyManifest, i, version), 0o644); err != nil {
			return err
		}
	}
	return nil
}
