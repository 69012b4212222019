package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"time"
)

const (
	atRest    = 100_000
	restQuiet = 2 * time.Second // for which nothing may happen
)

// atRestOf is what the child says.
type atRestOf struct {
	Bytes      float64 `json:"bytes"` // of resident memory, a machine
	Goroutines float64 `json:"goroutines"`
}

// rest measures 100,000 machines at rest, each variant in a process of its own.
func (b *bench) rest() (rows []row, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	most := 0.0
	for _, v := range []struct{ name, with, dir string }{
		{"in memory, without a watcher", "bare", ""},
		{"in memory, with a watcher", "watcher", ""},
		{"durable, without a watcher", "bare", filepath.Join(b.dir, "rest-bare")},
		{"durable, with a watcher", "watcher", filepath.Join(b.dir, "rest-watcher")},
	} {
		cmd := exec.CommandContext(b.ctx, self, "-at-rest", v.with, "-state", v.dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		var one atRestOf
		if err := errors.Join(err, json.Unmarshal(out, &one)); err != nil {
			return nil, fmt.Errorf("hosting machines %s: %w", v.name, err)
		}
		rows = append(rows, row{What: "machine at rest, " + v.name, Value: one.Bytes, Unit: "bytes"}.atMost(4096))
		most = max(most, one.Goroutines)
	}
	return append(rows, row{What: "goroutines for 100,000 machines at rest", Value: most}.atMost(0)), nil
}

// hostAtRest deploys the machines and prints what they take once free memory went back to the system.
func hostAtRest(with, dir string) (err error) {
	manifest := toggler
	if with == "watcher" {
		manifest += "watchers: [{name: t, type: timer, state_match: [a], fail_transition: go_b, properties: {timer: 24h}}]\n"
	}
	if dir == "" {
		manifest += inMemory
	}
	h, err := newHost(dir, 1, manifest, nil) // the first makes what all of them share
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.stop()) }()
	before, err := resident()
	if err != nil {
		return err
	}
	goroutines := goruntime.NumGoroutine()
	if err := errors.Join(h.deploy(atRest, manifest), h.quiet()); err != nil {
		return err
	}
	after, err := resident()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(atRestOf{(after - before) / (atRest - 1), float64(goruntime.NumGoroutine() - goroutines)})
}

// quiet holds that all machines have begun, and do nothing.
func (h *host) quiet() error {
	began := h.records()
	<-time.After(restQuiet)
	if ended := h.records(); began < atRest || ended != began {
		return fmt.Errorf("%d machines have %d records, and %d after %s of rest", atRest, began, ended, restQuiet)
	}
	return nil
}

// resident returns the bytes that this process has in memory and uses.
func resident() (float64, error) {
	debug.FreeOSMemory()
	size, err := memory(os.Getpid(), "status", "VmRSS")
	return size * 1024, err
}
