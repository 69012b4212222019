package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/watchers/all"
)

// host is a running host of this process.
type host struct {
	*runtime.Host
	stop func() error
}

func newHost(stateDir string, observe func(*machine.Record, bool)) (*host, error) {
	system, err := clock.NewReal()
	if err != nil {
		return nil, err
	}
	h, err := runtime.New(runtime.Config{
		Identity: "bench", Catalogue: all.New(), Clock: system, StateDir: stateDir, Observe: observe,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	return &host{Host: h, stop: func() error {
		cancel()
		err := <-ended
		if closed := system.Close(); err == nil {
			err = closed
		}
		return err
	}}, nil
}

// deploy runs n machines of one manifest.
func (h *host) deploy(n int, manifest string) error {
	def, problems := machine.Load("bench.yaml", []byte(manifest), all.New())
	if def == nil {
		return problems.Err()
	}
	for i := range n {
		d := runtime.Deployment{Definition: def, Name: fmt.Sprintf("m%06d", i), Directory: os.TempDir()}
		if err := h.Deploy(context.Background(), d); err != nil {
			return err
		}
	}
	return nil
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

// durable measures synced transitions of one machine and of 1,000, beside a bare write and fdatasync on the same disk.
func durable(dir, _ string) ([]row, error) {
	bare, err := bareSyncs(dir + "/bare")
	if err != nil {
		return nil, err
	}
	var synced atomic.Int64
	h, err := newHost(dir+"/durable", func(_ *machine.Record, durable bool) {
		if durable {
			synced.Add(1)
		}
	})
	if err != nil {
		return nil, err
	}
	const machines = 1000
	if err := h.deploy(machines, toggler); err != nil {
		return nil, err
	}
	one := make([]time.Duration, 5000)
	for i := range one {
		began := time.Now()
		if _, err := h.Fire(context.Background(), "m000000", []string{"go_b", "go_a"}[i%2], nil, "bench"); err != nil {
			return nil, err
		}
		one[i] = time.Since(began)
	}
	before, began := synced.Load(), time.Now()
	var fired sync.WaitGroup
	for i := range machines {
		fired.Go(func() {
			for k := range 200 {
				_, _ = h.Fire(context.Background(), fmt.Sprintf("m%06d", i), []string{"go_b", "go_a"}[k%2], nil, "bench")
			}
		})
	}
	fired.Wait()
	rate := float64(synced.Load()-before) / time.Since(began).Seconds()
	return []row{
		{"synced transition, one machine, p50", micros(quantile(one, 50)), "write + fdatasync alone: " + micros(quantile(bare, 50)), "0.3 ms"},
		{"synced transition, one machine, p99", micros(quantile(one, 99)), "write + fdatasync alone: " + micros(quantile(bare, 99)), ""},
		{"synced transitions, 1,000 machines", fmt.Sprintf("%.0f/s", rate), "", "50,000/s"},
	}, h.stop()
}

// bareSyncs writes 300 bytes and syncs them, again and again, in a file that is long enough.
func bareSyncs(name string) ([]time.Duration, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	const size, n = 300, 5000
	if _, err := f.Write(make([]byte, size*n)); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		if _, err := f.WriteAt(make([]byte, size), int64(i*size)); err != nil {
			return nil, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return nil, err
		}
		took[i] = time.Since(began)
	}
	return took, nil
}

func quantile(d []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)*percent/100]
}

func micros(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d.Microseconds())/1000) }

// idleChild is the argument that makes this program the host of idle.
const idleChild = "idle-child"

const idleCount = 100_000

// idle measures a process that hosts 100,000 machines at rest.
func idle(string, string) ([]row, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(self, idleChild).Output()
	if err != nil {
		return nil, fmt.Errorf("hosting idle machines: %w", err)
	}
	f := strings.Fields(string(out))
	if len(f) != 2 {
		return nil, fmt.Errorf("the host of idle machines said %q", out)
	}
	return []row{
		{"machine at rest, resident memory, of 100,000", f[0] + " bytes", "", "4,096 bytes"},
		{"goroutines for 100,000 machines at rest", f[1], "", "0"},
	}, nil
}

// idleMachines prints the resident bytes a machine and the goroutines that came with all of them.
func idleMachines() {
	h, err := newHost("", nil)
	if err == nil {
		err = h.deploy(1, toggler)
	}
	if err != nil {
		panic(err)
	}
	goruntime.GC()
	goroutines, before := goruntime.NumGoroutine(), status(os.Getpid(), "VmRSS:")
	if err := h.deploy(idleCount, toggler); err != nil {
		panic(err)
	}
	goruntime.GC()
	fmt.Println((status(os.Getpid(), "VmRSS:")-before)*1024/idleCount, goruntime.NumGoroutine()-goroutines)
}

// status reads a field of /proc/PID/status, in KiB.
func status(pid int, field string) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}
