package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const patient = `format: 1
name: patient
version: 1.0.0
initial_state: idle
data:
  turns: {type: integer, default: 0}
states:
  waiting: {after: {10s: late}}
  late: {home: true}
transitions:
  - {name: wait, from: [idle], destination: waiting, set: {turns: data.turns + 1}}
  - {name: more, from: [waiting], destination: waiting, set: {turns: data.turns + 1}}
  - {name: late, from: [waiting], destination: late}
  - {name: reset, from: [late], destination: idle}
watchers:
  - {name: check, type: timer, state_match: [idle], fail_transition: wait, properties: {timer: 1h}}
`

// process is a statecraft run in a process of its own.
type process struct {
	*exec.Cmd
	t        *testing.T
	out, err bytes.Buffer
}

// hostProcess starts a host and waits until its machine is in a state.
func hostProcess(t *testing.T, folder, state string) *process {
	t.Helper()
	p := &process{t: t, Cmd: exec.Command("statecraft", "run", "--allow-unsigned", "--state", filepath.Join(folder, "state"), folder)}
	p.Stdout, p.Stderr = &p.out, &p.err
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	})
	statecraft(t, "states", "patient", "--state", filepath.Join(folder, "state"), "--wait", "20s", "--until", state)
	return p
}

// end sends a signal and returns the exit code, -1 for a process that a signal has ended.
func (p *process) end(s syscall.Signal) int {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// statecraft runs a verb, which must work, and returns its result.
func statecraft(t *testing.T, args ...string) string {
	t.Helper()
	c := exec.Command("statecraft", args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("statecraft %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

func patientFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "machine.yaml"), []byte(patient), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestSignalsAndTheirExitCodes(t *testing.T) {
	for s, want := range map[syscall.Signal]int{syscall.SIGTERM: exitOK, syscall.SIGINT: exitInterrupted, syscall.SIGKILL: -1} {
		p := hostProcess(t, patientFolder(t), "idle")
		if code := p.end(s); code != want {
			t.Errorf("%v: exit code %d, want %d\n%s", s, code, want, p.err.String())
		}
	}
}

func TestDegradedHostSaysSo(t *testing.T) {
	folder := patientFolder(t)
	hostProcess(t, folder, "idle").end(syscall.SIGTERM)
	segments, err := filepath.Glob(filepath.Join(folder, "state", "journal", "*.log"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	f, err := os.OpenFile(segments[0], os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		_, err = f.WriteString("this is no record")
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	p := hostProcess(t, folder, "idle")
	p.end(syscall.SIGTERM)
	if !strings.Contains(p.err.String(), "statecraft: the host is degraded: the log was damaged when it was opened") {
		t.Errorf("standard error is\n%s", p.err.String())
	}
}

func TestMetricsAreServedUntilTheHostStops(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "one"}))
	m, err := listenMetrics("127.0.0.1:0", registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.serve(ctx) }()
	resp, err := http.Get("http://" + m.listener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "\none 0\n") {
		t.Errorf("metrics are %q, %v", body, err)
	}
	_ = resp.Body.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A host is killed again and again while events are fired. Each next one goes on where the last record was, and the deadline is due when
// it would have been without all that.
func TestA01KilledHostGoesOnAndKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	folder := patientFolder(t)
	state := filepath.Join(folder, "state")
	fire := func(event string) { statecraft(t, "fire", "patient", event, "--state", state) }

	p := hostProcess(t, folder, "idle")
	began := time.Now()
	fire("wait")
	for range 3 {
		p.end(syscall.SIGKILL)
		p = hostProcess(t, folder, "waiting")
		fire("more")
	}
	p.end(syscall.SIGKILL)
	p = hostProcess(t, folder, "waiting")
	lived := time.Since(began)
	var now struct {
		Data struct{ Turns int }
	}
	if err := json.Unmarshal([]byte(statecraft(t, "states", "patient", "--state", state, "--json")), &now); err != nil || now.Data.Turns != 4 {
		t.Errorf("%d turns are remembered, want 4 (%v)", now.Data.Turns, err)
	}
	statecraft(t, "states", "patient", "--state", state, "--wait", "20s", "--until", "late")
	if code := p.end(syscall.SIGTERM); code != exitOK {
		t.Errorf("exit code %d\n%s", code, p.err.String())
	}
	if took := visit(t, state); took < 10*time.Second || took > 10*time.Second+lived/2 {
		t.Errorf("the deadline of 10s was due after %s, where the last host started after %s", took, lived)
	}
	trace := filepath.Join(folder, "trace")
	statecraft(t, "trace", "patient", "--state", state, "--manifest", folder, "--output", trace)
	statecraft(t, "replay", trace)
}

// visit is the time from the event wait to the event late, as recorded.
func visit(t *testing.T, state string) time.Duration {
	t.Helper()
	var history struct {
		Entries []struct {
			Record struct {
				Event string
				At    time.Time
			}
		}
	}
	if err := json.Unmarshal([]byte(statecraft(t, "why", "patient", "--state", state, "--json")), &history); err != nil {
		t.Fatal(err)
	}
	at := map[string]time.Time{}
	for _, e := range history.Entries {
		at[e.Record.Event] = e.Record.At
	}
	return at["late"].Sub(at["wait"])
}
