package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// agentMachines are five machines as a node has them.
var agentMachines = []string{
	"watchers: [{name: f, type: file, interval: 5s, success_transition: go_b, properties: {path: /etc/hostname, gather_initial_state: true}}]",
	"watchers: [{name: f, type: expression, interval: 10s, success_transition: go_b, properties: {success_when: 'data.n == 1'}}]",
	"watchers: [{name: f, type: facts, interval: 5m, fail_transition: go_b}]",
	"watchers: [{name: f, type: schedule, success_transition: go_b, properties: {schedules: ['0 3 * * *'], duration: 1h}}]",
	"watchers: [{name: f, type: exec, interval: 1m, fail_transition: go_b, properties: {command: /bin/true}}]",
}

const agentHead = "name: agent%d\nversion: 1.0.0\ninitial_state: a\ntransitions: [{name: go_b, from: [a, b], destination: b}]\n%s\n"

const (
	agentSettles = 10 * time.Second
	agentSpan    = 30 * time.Second
)

// agent measures the memory and processor time of an idle agent.
func (b *bench) agent() (rows []row, err error) {
	folder := filepath.Join(b.dir, "machines")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	for i, watching := range agentMachines {
		if err := os.WriteFile(fmt.Sprintf("%s/m%d.yaml", folder, i), fmt.Appendf(nil, agentHead, i, watching), 0o644); err != nil {
			return nil, err
		}
	}
	p, err := b.start("agent", folder)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	if err := waitFor(b.ctx, agentSettles); err != nil {
		return nil, err
	}
	if all, err := p.states(); err != nil || len(all.Machines) != len(agentMachines) {
		return nil, errors.Join(fmt.Errorf("the agent has %d machines of %d", len(all.Machines), len(agentMachines)), err)
	}
	used, err := p.idle()
	if err != nil {
		return nil, err
	}
	rows, err = p.resident()
	return append(rows, row{What: "agent with 5 machines, processor", Value: 100 * used.Seconds() / agentSpan.Seconds(), Unit: "%"}.atMost(0.05)), err
}

// idle returns the processor time of a span in which the file watcher must have gone on looking.
func (p *process) idle() (time.Duration, error) {
	first, err := p.states("agent0")
	if err != nil {
		return 0, err
	}
	before, err := processorTime(p.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := waitFor(p.ctx, agentSpan); err != nil {
		return 0, err
	}
	after, err := processorTime(p.Process.Pid)
	if err != nil {
		return 0, err
	}
	last, err := p.states("agent0")
	if err == nil && (len(first.Watchers) != 1 || last.Watchers[0].At.Sub(first.Watchers[0].At) < agentSpan/2) {
		err = fmt.Errorf("the agent's file watcher does not look: %v, then %v", first.Watchers, last.Watchers)
	}
	if err != nil {
		return 0, err
	}
	return after.since(before)
}

// resident reads resident and private memory. Clean pages of the program's own file are private as well where nobody else
// runs it, which an agent cannot help: both are given.
func (p *process) resident() (rows []row, err error) {
	size := map[string]float64{}
	for _, name := range []string{"Rss", "Private_Dirty", "Private_Clean"} {
		if size[name], err = memory(p.Process.Pid, "smaps_rollup", name); err != nil {
			return nil, err
		}
	}
	return []row{
		row{What: "agent with 5 machines, resident", Value: size["Rss"] / 1024, Unit: "MiB"}.atMost(45),
		row{What: "agent with 5 machines, private and dirty", Value: size["Private_Dirty"] / 1024, Unit: "MiB"}.atMost(10),
		row{What: "agent with 5 machines, private", Value: (size["Private_Dirty"] + size["Private_Clean"]) / 1024, Unit: "MiB"}.atMost(10),
	}, nil
}

// process is the program hosting machines.
type process struct {
	*bench
	*child
	state string
}

func (b *bench) start(state string, path string) (p *process, err error) {
	p = &process{bench: b, state: filepath.Join(b.dir, state)}
	cmd := b.command(b.ctx, "run", "--allow-unsigned", "--state", p.state, path)
	p.child, err = launch(cmd, "the host", p.state+".log")
	return p, err
}

// hosted is what the program says of its machines.
type hosted struct {
	Running  bool
	Machines []struct{ Seq uint64 }
	Watchers []struct{ At time.Time } // of one machine
}

// states asks the running program, through its own verb.
func (p *process) states(args ...string) (all hosted, err error) {
	out, err := p.output(append([]string{"states", "--state", p.state, "--json"}, args...)...)
	if err := errors.Join(err, json.Unmarshal(out, &all)); err != nil {
		return all, fmt.Errorf("asking the host for its machines: %w", err)
	}
	if !all.Running {
		return all, errors.New("the host does not run")
	}
	return all, nil
}
