package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/machine"
)

// agentMachines are five machines as a node has them.
var agentMachines = []string{
	"watchers: [{name: f, type: file, interval: 5s, success_transition: go_b, properties: {path: /etc/hostname, gather_initial_state: true}}]",
	"watchers: [{name: f, type: expression, interval: 10s, success_transition: go_b, properties: {success_when: 'data.n == 1'}}]",
	"watchers: [{name: f, type: facts, interval: 5m, fail_transition: go_b}]",
	"watchers: [{name: f, type: schedule, success_transition: go_b, properties: {schedules: ['0 3 * * *'], duration: 1h}}]",
	"watchers: [{name: f, type: exec, interval: 1m, fail_transition: go_b, properties: {command: /bin/true}}]",
}

func agentManifest(i int) string {
	return fmt.Sprintf("name: agent%d\nversion: 1.0.0\ninitial_state: a\ntransitions:\n  - {name: go_b, from: [a, b], destination: b}\n%s\n", i, agentMachines[i])
}

// agent measures the memory and processor time of an idle agent.
func agent(dir, binary string) ([]row, error) {
	folder := filepath.Join(dir, "machines")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return nil, err
	}
	for i := range agentMachines {
		if err := os.WriteFile(fmt.Sprintf("%s/m%d.yaml", folder, i), []byte(agentManifest(i)), 0o644); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(binary, "run", "--allow-unsigned", "--state", dir+"/agent", folder)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	<-time.After(10 * time.Second)
	const span = 30 * time.Second
	before := processorTime(cmd.Process.Pid)
	<-time.After(span)
	used := processorTime(cmd.Process.Pid) - before
	rss, private := smaps(cmd.Process.Pid)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	_ = cmd.Wait()
	return []row{
		{"agent with 5 machines, resident", fmt.Sprintf("%.1f MB", float64(rss)/1024), "", "45 MB"},
		{"agent with 5 machines, private", fmt.Sprintf("%.1f MB", float64(private)/1024), "", "10 MB"},
		{"agent with 5 machines, processor", fmt.Sprintf("%.3f %%", 100*used.Seconds()/span.Seconds()), "", "0.05 %"},
	}, nil
}

// processorTime returns the time that all threads of a process have been on a processor, from the scheduler's accounting.
func processorTime(pid int) time.Duration {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		n, _ := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// smaps returns resident and private (dirty) memory in KiB; clean pages of the program's own file are not counted as private.
func smaps(pid int) (rss, private int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "Rss:":
			rss = n
		case "Private_Dirty:":
			private = n
		}
	}
	return rss, private
}

const runner = `
format: 1
name: runner
version: 1.0.0
initial_state: a
durable: false
states: {a: {home: true}, b: {home: true}}
transitions:
  - {name: again, from: [a], destination: b}
  - {name: back, from: [b], destination: a}
watchers:
  - {name: one, type: exec, state_match: [a], success_transition: again, properties: {command: /bin/true}}
  - {name: two, type: exec, state_match: [b], success_transition: back, properties: {command: /bin/true}}
`

const (
	runners  = 4
	runSpan  = 8 * time.Second
	tries    = 5
	tryBound = 20 * time.Second
)

// commands measures how many commands a host runs, beside bare fork and exec with as many at once.
func commands(string, string) ([]row, error) {
	bare := bareCommands()
	var ran atomic.Int64
	h, err := newHost("", func(r *machine.Record, _ bool) {
		if r.Cause.Kind == machine.CauseWatcher {
			ran.Add(1)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := h.deploy(runners, runner); err != nil {
		return nil, err
	}
	<-time.After(time.Second)
	before, began := ran.Load(), time.Now()
	<-time.After(runSpan)
	rate := float64(ran.Load()-before) / time.Since(began).Seconds()
	return []row{{"exec watchers, commands a second", fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("fork + exec alone: %.0f/s", bare), "1,000/s"}}, h.stop()
}

func bareCommands() float64 {
	var ran atomic.Int64
	began := time.Now()
	var all sync.WaitGroup
	for range runners {
		all.Go(func() {
			for time.Since(began) < runSpan/2 {
				p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{Env: []string{}})
				if err != nil {
					return
				}
				_, _ = p.Wait()
				ran.Add(1)
			}
		})
	}
	all.Wait()
	return float64(ran.Load()) / time.Since(began).Seconds()
}

const stuck = `
format: 1
name: stuck
version: 1.0.0
initial_state: a
durable: false
states: {a: {home: true}, b: {home: true}}
transitions:
  - {name: failed, from: [a], destination: b}
  - {name: again, from: [b], destination: a}
watchers:
  - name: stuck
    type: exec
    state_match: [a]
    fail_transition: failed
    properties: {command: "sh -c 'sleep 30 & sleep 30'", timeout: 1s}
`

// timeouts measures how long after its time-out a command counts as timed out, while a grandchild holds its output.
func timeouts(string, string) ([]row, error) {
	records := make(chan machine.Record, 16)
	h, err := newHost("", func(r *machine.Record, _ bool) { records <- *r })
	if err != nil {
		return nil, err
	}
	if err := h.deploy(1, stuck); err != nil {
		return nil, err
	}
	var over []time.Duration
	begun := (<-records).At
	for range tries {
		end := <-records
		over = append(over, end.At.Sub(begun)-time.Second)
		if _, err := h.Fire(context.Background(), "m000000", "again", nil, "bench"); err != nil {
			return nil, err
		}
		begun = (<-records).At
	}
	return []row{
		{"exec time-out of 1 s, over it, median of 5", micros(quantile(over, 50)), "", "100 ms"},
		{"exec time-out of 1 s, over it, longest of 5", micros(quantile(over, 99)), "", "100 ms"},
	}, h.stop()
}

// stopping measures from SIGTERM to the end of a process whose machines flap.
func stopping(dir, binary string) ([]row, error) {
	name := filepath.Join(dir, "flap.yaml")
	if err := os.WriteFile(name, []byte(runner), 0o644); err != nil {
		return nil, err
	}
	var took []time.Duration
	for i := range tries {
		ctx, cancel := context.WithTimeout(context.Background(), tryBound)
		cmd := exec.CommandContext(ctx, binary, "run", "--allow-unsigned", "--state", fmt.Sprintf("%s/flap%d", dir, i), name)
		if err := cmd.Start(); err != nil {
			cancel()
			return nil, err
		}
		<-time.After(time.Second)
		began := time.Now()
		err := cmd.Process.Signal(syscall.SIGTERM)
		if ended := cmd.Wait(); err == nil && ended != nil {
			err = fmt.Errorf("the flapping host did not stop cleanly: %w", ended)
		}
		took = append(took, time.Since(began))
		cancel()
		if err != nil {
			return nil, err
		}
	}
	return []row{{"host stops while a machine flaps, median of 5", micros(quantile(took, 50)), "", "1 s"}}, nil
}
