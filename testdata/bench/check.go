package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// stepsOf are the machines that are checked: the time is to grow as their steps do.
var stepsOf = []struct {
	steps  int
	atMost float64 // seconds, 0 is no goal
}{{100, 0}, {1000, 1}, {5000, 6}}

// checks measures `statecraft check`: long machines, each a process of its own, and the built-in machines of a node and of an overlay
// host, each set in one.
func (b *bench) checks() (rows []row, err error) {
	for _, m := range stepsOf {
		file := filepath.Join(b.dir, fmt.Sprintf("steps%d.yaml", m.steps))
		if err := os.WriteFile(file, []byte(longManifest(m.steps)), 0o644); err != nil {
			return nil, err
		}
		took, err := b.check(file)
		if err != nil {
			return nil, err
		}
		r := row{What: fmt.Sprintf("check of a machine of %d steps", m.steps), Value: took.Seconds(), Unit: "s"}
		if m.atMost > 0 {
			r = r.atMost(m.atMost)
		}
		rows = append(rows, r)
	}
	for _, set := range []string{"node", "overlay"} {
		files, err := filepath.Glob(filepath.Join("manifests", set, "*.yaml"))
		if err != nil {
			return nil, err
		}
		var manifests []string
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.yaml") {
				manifests = append(manifests, file)
			}
		}
		took, err := b.check(manifests...)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{What: fmt.Sprintf("check of the %d machines of manifests/%s", len(manifests), set), Value: took.Seconds(), Unit: "s"})
	}
	return rows, nil
}

// check is how long a process takes that checks manifests and finds no error.
func (b *bench) check(files ...string) (time.Duration, error) {
	began := time.Now()
	out, err := exec.CommandContext(b.ctx, b.binary, append([]string{"check"}, files...)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("checking %s: %w: %.2000s", files[0], err, out)
	}
	return time.Since(began), nil
}

// longManifest is a chain of steps, each with a program and a deadline; 5,000 are just below the largest document that is read.
func longManifest(steps int) string {
	var b strings.Builder
	b.WriteString("format: 1\nname: long\nversion: 1.0.0\ninitial_state: s0\nstates:\n  end: {final: success}\n  broken: {home: true}\n")
	for i := range steps {
		fmt.Fprintf(&b, "  s%d: {after: {1h: bad}}\n", i)
	}
	b.WriteString("transitions:\n- {name: bad, from: ['*'], destination: broken}\n- {name: again, from: [broken], destination: s0}\n")
	for i := range steps - 1 {
		fmt.Fprintf(&b, "- {name: e%d, from: [s%d], destination: s%d}\n", i, i, i+1)
	}
	fmt.Fprintf(&b, "- {name: e%d, from: [s%d], destination: end}\nwatchers:\n", steps-1, steps-1)
	b.WriteString("- {name: wait, type: timer, state_match: [broken], fail_transition: again, properties: {timer: 1h}}\n")
	for i := range steps {
		fmt.Fprintf(&b, "- {name: w%d, type: exec, state_match: [s%d], success_transition: e%d, fail_transition: bad, properties: {command: ./x}}\n", i, i, i)
	}
	return b.String()
}
