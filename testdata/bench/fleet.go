package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	helperNodes   = 2000
	burstNodes    = 2000
	burstFull     = 5000 // with -full
	burstWorkers  = 50
	burstTakes    = time.Second
	helperWorkers = 10 // as a cell has that does not say otherwise
	// rest is how long nothing happens until what processes hold is looked at: they give back what a burst took after ten seconds of calm.
	rest = 20 * time.Second
	// patienceOfNode is how long a node may take in a crowd before the run is given up, beside what a helper takes.
	patienceOfNode = 60 * time.Millisecond
)

// crowd is what it took to let many nodes join at once.
type crowd struct {
	nodes          int
	seconds        float64    // from the first start to the last arrival
	host, emulator usage      // beyond what they used and held with one node
	rested         [2]float64 // KiB that the two hold when they have come to rest, likewise
	logins         float64
}

func (c crowd) perMinute() float64 { return float64(c.nodes) / c.seconds * 60 }

// enrollment measures crowds of nodes which the host's own policy takes in, beside the cryptography that they cannot do without.
func (b *bench) enrollment() (rows []row, err error) {
	for _, count := range b.sizes(400, 2000, 5000) {
		got, bare, err := b.besideBare(count, decider{})
		if err != nil {
			return nil, fmt.Errorf("%d nodes: %w", count, err)
		}
		what := thousands(count) + " nodes at once"
		rate := row{What: "enrollments, " + what, Value: got.perMinute(), Unit: "/min"}.beside("TLS 1.3 + ed25519 alone", bare)
		rows = append(append(rows, rate.atLeast(10_000)), got.costs(what)...)
	}
	return rows, nil
}

// costs is what a node took of both processes.
func (c crowd) costs(what string) []row {
	each := func(of string, sum float64, unit string) row {
		return row{What: of + ", " + what, Value: sum / float64(c.nodes), Unit: unit}
	}
	return []row{
		each("processor for a node, overlay host", c.host.own.Seconds()*1000, "ms"),
		each("processor for a node, emulator", c.emulator.own.Seconds()*1000, "ms"),
		each("TLS connections of a node", c.logins, "").atMost(2),
		each("memory for a node as the last has come, overlay host", c.host.resident, "KiB"),
		each("memory for a node as the last has come, emulator", c.emulator.resident, "KiB"),
		each("memory for a node at rest, overlay host", c.rested[0], "KiB").atMost(65),
		each("memory for a node at rest, emulator", c.rested[1], "KiB").atMost(100),
	}
}

// helper measures the same with a compiled helper that decides at once.
func (b *bench) helper() ([]row, error) {
	count := b.sizes(helperNodes)[0]
	helper, err := b.slowhelper()
	if err != nil {
		return nil, err
	}
	got, bare, err := b.besideBare(count, decider{helper: helper, workers: helperWorkers})
	if err != nil {
		return nil, err
	}
	what := thousands(count) + " nodes at once, compiled helper"
	each := 1000 / float64(count)
	return []row{
		row{What: "enrollments, " + what, Value: got.perMinute(), Unit: "/min"}.beside("TLS 1.3 + ed25519 alone", bare),
		{What: "processor for a node, overlay host, " + what, Value: got.host.own.Seconds() * each, Unit: "ms"},
		{What: "processor for a node, helper, " + what, Value: got.host.children.Seconds() * each, Unit: "ms"},
	}, nil
}

// burst measures what comes through when a helper takes its time: not more than workers / latency, and nobody may be dropped.
func (b *bench) burst() ([]row, error) {
	helper, err := b.slowhelper()
	if err != nil {
		return nil, err
	}
	count := b.sizes(burstNodes)[0]
	if b.full {
		count = b.sizes(burstFull)[0]
	}
	workers := max(1, min(burstWorkers, count/4)) // a trial with few nodes is to take turns as well
	got, err := b.crowd(count, decider{helper: helper, workers: workers, takes: burstTakes})
	if err != nil {
		return nil, err
	}
	what := fmt.Sprintf("enrollments, %s nodes at once, helper of %s, %d workers", thousands(count), burstTakes, workers)
	best := float64(workers) / burstTakes.Seconds()
	return []row{row{What: what, Value: float64(count) / got.seconds, Unit: "/s"}.beside("workers / latency", best)}, nil
}

// besideBare measures a crowd between two halves of its reference.
func (b *bench) besideBare(count int, d decider) (got crowd, bare float64, err error) {
	reference, err := b.bareNodes()
	if err != nil {
		return got, 0, err
	}
	_, rate, err := around(reference.perMinute, func() (none []float64, err error) {
		got, err = b.crowd(count, d)
		return nil, err
	})
	if err != nil {
		return got, 0, err
	}
	return got, rate[0], nil
}

// crowd lets nodes join a fresh cell, all at once.
func (b *bench) crowd(count int, d decider) (got crowd, err error) {
	if err := enoughFiles(count); err != nil {
		return got, err
	}
	err = b.inCell(d, func(c *cell) error {
		got, err = c.crowd(count, d)
		return err
	})
	return got, err
}

// crowd compares with one node that came before, so that what all of them share is there already.
func (c *cell) crowd(count int, d decider) (got crowd, err error) {
	alone, err := c.alone()
	if err != nil {
		return got, err
	}
	before, err := c.look()
	if err != nil {
		return got, err
	}
	limit := time.Minute + time.Duration(count)*patienceOfNode
	if d.helper != "" {
		limit += 2 * time.Duration(count) * d.takes / time.Duration(d.workers)
	}
	n, err := c.emulate("node", count, limit)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, n.end()) }()
	emulator, err := use(n.Process.Pid)
	if err != nil {
		return got, err
	}
	after, err := c.look()
	if err != nil {
		return got, err
	}
	got = crowd{
		nodes: count, seconds: n.Seconds, host: after.usage.less(before.usage), emulator: emulator.less(alone),
		logins: after.logins() - before.logins(),
	}
	if err := c.complete(got, d, before, after); err != nil {
		return got, err
	}
	time.Sleep(rest)
	for i, pid := range []int{c.host.Process.Pid, n.Process.Pid} {
		u, err := use(pid)
		if err != nil {
			return got, err
		}
		got.rested[i] = u.less([]usage{before.usage, alone}[i]).resident
	}
	return got, nil
}

// complete holds what was measured against what the host has counted.
func (c *cell) complete(got crowd, d decider, before, after look) error {
	active, err := c.registered()
	if err != nil {
		return err
	}
	if active != got.nodes+1 || after.sessions() != float64(got.nodes) || got.logins < 2*float64(got.nodes) || got.seconds <= 0 {
		return fmt.Errorf("%d nodes and one before them make %d active in the register and %g connected after %g logins, in %g s",
			got.nodes, active, after.sessions(), got.logins, got.seconds)
	}
	want := 0.0
	if d.helper != "" {
		want = float64(got.nodes)
	}
	if decided := after.helped() - before.helped(); decided != want {
		return fmt.Errorf("the helper has decided %g times of %g", decided, want)
	}
	return nil
}

// look is what the host has counted and used so far.
type look struct {
	counters
	usage usage
}

func (c *cell) look() (l look, err error) {
	if l.counters, err = c.counters(); err != nil {
		return l, err
	}
	l.usage, err = use(c.host.Process.Pid)
	return l, err
}

// alone lets one node join and go again, and returns what its process used.
func (c *cell) alone() (u usage, err error) {
	n, err := c.emulate("first", 1, time.Minute)
	if err != nil {
		return u, err
	}
	u, err = use(n.Process.Pid)
	if err := errors.Join(err, n.end()); err != nil {
		return u, err
	}
	return u, until(c.ctx, "the first node's disconnection", func() (bool, error) {
		now, err := c.counters()
		return now.sessions() == 0, err
	})
}

// slowhelper builds the helper.
func (b *bench) slowhelper() (string, error) {
	binary := filepath.Join(b.dir, "slowhelper")
	build := exec.CommandContext(b.ctx, "go", "build", "-trimpath", "-o", binary, "./testdata/bench/slowhelper")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("building the helper: %w", err)
	}
	return binary, nil
}

// sizes are numbers of nodes, no larger than -nodes admits and none twice.
func (b *bench) sizes(want ...int) (sizes []int) {
	for _, n := range want {
		if b.most > 0 {
			n = min(n, b.most)
		}
		if len(sizes) == 0 || sizes[len(sizes)-1] != n {
			sizes = append(sizes, n)
		}
	}
	return sizes
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
