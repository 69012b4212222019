package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	machineName = "canary"
	counterName = "counter"
)

// canary is the machine that is published, again and again.
const canary = `format: 1
name: canary
version: %s
initial_state: starting
states: {running: {home: true}}
transitions: [{name: go, from: [starting], destination: running}]
watchers: [{name: at_once, type: expression, state_match: [starting], success_transition: go, properties: {success_when: 'true'}}]
`

// counter is a machine of real nodes that counts what is fired at it.
const counter = `format: 1
name: counter
version: 1.0.0
initial_state: counting
data: {ticks: {type: integer, default: 0}}
states: {counting: {home: true}}
transitions: [{name: tick, from: [counting], destination: counting, set: {ticks: data.ticks + 1}}]
`

// realNode is a node that is a process of its own.
type realNode struct {
	name string
	dir  string
	p    *process
}

func (n *realNode) stateDir() string { return n.dir + "/state" }

// startReal starts a node, for the first time or again.
func (r *run) startReal(n *realNode) (err error) {
	n.p, err = launch(r.cell.binary, "node "+n.name, r.cell.path(n.name+".log"), nil, r.cell.died,
		"node", "run", "--log-level", "info", "--join", r.cell.path("cell", "join.jwt"), "--identity", n.name, "--state", n.dir,
		"--machines", r.cell.path("counter"), "--allow-unsigned")
	return err
}

// newReal lets real nodes join, one after another.
func (r *run) newReal(ctx context.Context, count int) error {
	if err := write(r.cell.path("counter", counterName, "machine.yaml"), counter); err != nil {
		return err
	}
	for i := range count {
		n := &realNode{name: fmt.Sprintf("real%d.c1", i+1), dir: r.cell.path(fmt.Sprintf("real%d", i+1))}
		r.led.note(func(l *ledger) { l.nodes[n.name], l.fired[n.name] = false, firing{} })
		if err := r.startReal(n); err != nil {
			return err
		}
		r.real = append(r.real, n)
	}
	for _, n := range r.real {
		err := until(ctx, 2*time.Minute, func(ctx context.Context) error {
			_, err := r.cell.output(ctx, "states", "enrollment", "--state", n.stateDir(), "--until", "active")
			return err
		})
		if err != nil {
			return fmt.Errorf("%s does not join: %w", n.name, err)
		}
		r.led.note(func(l *ledger) { l.nodes[n.name] = true })
	}
	return nil
}

// fireAlways fires an event at each real node every second or so, until ctx ends.
func (r *run) fireAlways(ctx context.Context) {
	for ctx.Err() == nil {
		for _, n := range r.real {
			r.led.note(func(l *ledger) { f := l.fired[n.name]; f.tried++; l.fired[n.name] = f })
			// An event that is under way when the run is over is waited for: it counts, or it does not.
			if _, err := r.cell.output(context.WithoutCancel(ctx), "fire", counterName, "tick", "--state", n.stateDir()); err == nil {
				r.led.note(func(l *ledger) { f := l.fired[n.name]; f.acked++; l.fired[n.name] = f })
			}
		}
		wait(ctx, time.Second)
	}
}

// burst lets nodes join, all at once; they stay. It returns when they have been started.
func (r *run) burst(ctx context.Context, count int) error {
	r.mu.Lock()
	r.bursts++
	prefix := fmt.Sprintf("b%dn", r.bursts)
	r.mu.Unlock()
	var names []string
	for i := range count {
		names = append(names, fmt.Sprintf("%s%d.c1", prefix, i+1))
	}
	r.led.note(func(l *ledger) {
		for _, name := range names {
			l.nodes[name] = false
		}
	})
	read, told, err := os.Pipe()
	if err != nil {
		return err
	}
	p, err := launch(r.cell.binary, "nodes "+prefix, r.cell.path(prefix+".log"), told, r.cell.died, "emulate", "--log-level", "info",
		"--join", r.cell.path("cell", "join.jwt"), "--nodes", fmt.Sprint(count), "--prefix", prefix, "--domain", "c1", "--in-memory", "--json", "--for", "1h")
	_ = told.Close()
	if err != nil {
		_ = read.Close()
		return err
	}
	r.mu.Lock()
	r.crowds = append(r.crowds, p)
	r.mu.Unlock()
	r.doing.Go(func() {
		defer read.Close()
		var said struct{ Active int }
		if err := json.NewDecoder(read).Decode(&said); err != nil || said.Active != count {
			if ctx.Err() == nil {
				r.say("%s says that %d of %d nodes are active: %v", p.name, said.Active, count, err)
			}
			return
		}
		r.say("all %d nodes of burst %s are active", count, prefix)
		r.led.note(func(l *ledger) {
			for _, name := range names {
				l.nodes[name] = true
			}
		})
	})
	return nil
}

// publish publishes the next version, and tries until it is acknowledged. One version follows another.
func (r *run) publish(ctx context.Context) error {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	r.mu.Lock()
	r.versions++
	version := fmt.Sprintf("1.0.%d", r.versions)
	r.mu.Unlock()
	folder := r.cell.path("published", machineName)
	if err := write(folder+"/machine.yaml", fmt.Sprintf(canary, version)); err != nil {
		return err
	}
	r.led.note(func(l *ledger) { l.published = append(l.published, publication{version: version}) })
	began := time.Now()
	for tries := 1; ctx.Err() == nil; tries++ {
		_, err := r.cell.operate(ctx, "publish", folder)
		if err == nil {
			r.led.note(func(l *ledger) { l.published[len(l.published)-1].acked = true })
			r.say("published %s after %.1f s, try %d", version, time.Since(began).Seconds(), tries)
			return nil
		}
		if tries%10 == 1 && ctx.Err() == nil {
			r.say("not published %s, try %d: %v", version, tries, err)
		}
		wait(ctx, time.Second)
	}
	return nil
}

// revoke bans a node that has joined with others, and tries until that is acknowledged.
func (r *run) revoke(ctx context.Context, which int) error {
	id := ""
	r.led.note(func(l *ledger) {
		var free []string
		for _, name := range slices.Sorted(maps.Keys(l.nodes)) {
			if _, banned := l.revoked[name]; l.nodes[name] && !banned && strings.HasPrefix(name, "b") {
				free = append(free, name)
			}
		}
		if len(free) > 4 {
			id = free[which%len(free)]
			l.revoked[id] = false
		}
	})
	if id == "" {
		return nil // there are too few
	}
	for ctx.Err() == nil {
		_, err := r.cell.operate(ctx, "token", "revoke", "--identity", id, "--reason", "chaos")
		if err == nil {
			r.led.note(func(l *ledger) { l.revoked[id] = true })
			r.say("revoked %s", id)
			return nil
		}
		if ctx.Err() == nil {
			r.say("not revoked %s: %v", id, err)
		}
		wait(ctx, time.Second)
	}
	return nil
}

// crash kills a real node and starts it again.
func (r *run) crash(which int) error {
	n := r.real[which%len(r.real)]
	if err := n.p.end(syscall.SIGKILL); err != nil {
		return err
	}
	r.say("killed %s, and started it again", n.name)
	return r.startReal(n)
}

// work does one thing that the schedule asks for; what lasts goes on beside it.
func (r *run) work(ctx context.Context, w work, count int) error {
	switch w {
	case burst:
		return r.burst(ctx, count)
	case publish:
		r.doing.Go(func() { r.fail(r.publish(ctx)) })
	case revoke:
		r.doing.Go(func() { r.fail(r.revoke(ctx, count)) })
	case crash:
		return r.crash(count)
	}
	return nil
}
