package runtime_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/runtime"
)

// crashEventsEach is how many events a machine's operator has for one life of the process. It is enough for every point
// to come as often as the test needs.
const crashEventsEach = 40

// TestA01KilledAtEveryPoint kills a real host at each point of an event's way through it and of its log, again and again over the same
// state, and holds what is left against the model; then again with all that was not synced lost, too.
func TestA01KilledAtEveryPoint(t *testing.T) {
	points := []string{
		runtime.HookAccept, runtime.HookDecide, runtime.HookRecord, runtime.HookCommit, runtime.HookEffect, runtime.HookOutcome,
		"append", "write", "sync", "synced", "done", "rotate", "checkpoint", "rename", "renamed",
	}
	for _, lose := range []bool{false, true} {
		for _, point := range points {
			t.Run(fmt.Sprintf("%s/unsynced lost %t", point, lose), func(t *testing.T) {
				t.Parallel()
				c := &crashes{t: t, dir: t.TempDir(), acked: map[string][]uint64{}}
				for _, n := range []int{1, 7, 20} {
					c.kill(point, n)
					if lose {
						c.loseUnsynced()
					}
					c.checkLeft()
					c.recover()
				}
			})
		}
	}
}

// crashes is one state folder over several lives of its host.
type crashes struct {
	t       *testing.T
	dir     string
	acked   map[string][]uint64 // machine -> sequence numbers of the records of its acknowledged events, in order
	segment uint64              // of the log, and up to where it is synced, as the last life said
	synced  int64
	running uint64 // the run of the look that must not be repeated, as it was recorded when the host died
}

func (c *crashes) stateDir() string { return crashConfig(c.dir).StateDir }

// kill runs a host until it kills itself, and takes down what it said.
func (c *crashes) kill(point string, n int) {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", crashEnv, c.dir, point, n))
	var in, errOut bytes.Buffer
	for name := range crashEvents() {
		for i := range crashEventsEach {
			fmt.Fprintln(&in, name, len(c.acked[name])+i, crashEvent(name, len(c.acked[name])+i))
		}
	}
	cmd.Stdin, cmd.Stderr = &in, &errOut
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		c.t.Fatalf("the process was not killed at %s %d: %v %s", point, n, err, errOut.String())
	}
	c.segment = 0
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		c.said(lines.Text())
	}
}

func (c *crashes) said(line string) {
	c.t.Helper()
	var name string
	var index int
	var seq uint64
	var durable bool
	if _, err := fmt.Sscanf(line, "synced %d %d", &c.segment, &c.synced); err == nil {
		return
	}
	if _, err := fmt.Sscanf(line, "ack %s %d %d %t", &name, &index, &seq, &durable); err != nil {
		c.t.Fatalf("the process said %q", line)
	}
	if !durable || index != len(c.acked[name]) {
		c.t.Fatalf("acknowledgement %q after %d of them", line, len(c.acked[name]))
	}
	c.acked[name] = append(c.acked[name], seq)
}

// loseUnsynced does what a power cut does at its worst: nothing is left that was not reported as synced.
func (c *crashes) loseUnsynced() {
	c.t.Helper()
	if c.segment == 0 {
		return // killed before the log was open: nothing was written since
	}
	files, err := filepath.Glob(filepath.Join(c.stateDir(), "journal", "seg-*.log"))
	if err != nil {
		c.t.Fatal(err)
	}
	last := fmt.Sprintf("seg-%016x.log", c.segment)
	for _, path := range files {
		switch name := filepath.Base(path); {
		case name > last:
			err = errors.Join(err, os.Remove(path))
		case name == last:
			err = errors.Join(err, zeroFrom(path, c.synced))
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func zeroFrom(path string, from int64) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	clear(data[min(from, int64(len(data))):])
	return os.WriteFile(path, data, 0o600)
}

// records reads the whole history, by machine.
func (c *crashes) records() map[string][]machine.Record {
	c.t.Helper()
	out := map[string][]machine.Record{}
	err := runtime.ReadHistory(c.t.Context(), c.stateDir(), "", func(e runtime.HistoryEntry) error {
		if e.Gap != nil {
			return fmt.Errorf("gap in the history: %+v", e.Gap)
		}
		out[e.Record.Machine] = append(out[e.Record.Machine], *e.Record)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	return out
}

// checkLeft holds what a killed host left against what it had said and done.
func (c *crashes) checkLeft() {
	c.t.Helper()
	records := c.records()
	for name := range crashEvents() {
		c.checkOperator(name, records[name])
	}
	c.checkEffects(records)
	snapshots, err := runtime.ReadSnapshots(c.t.Context(), c.stateDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	c.running = snapshots["once"].Running["run"]
	if len(records["counter"]) > 0 {
		c.checkModel(snapshots["counter"])
	}
}

// checkOperator wants every acknowledged event to be there once, in order, and at most the one after them: that was sent and not
// answered. It counts as acknowledged from now on, as the next life goes on behind it.
func (c *crashes) checkOperator(name string, records []machine.Record) {
	c.t.Helper()
	acked, k := c.acked[name], 0
	for _, r := range records {
		if r.Cause.Kind != machine.CauseOperator {
			continue
		}
		if want := crashEvent(name, k); r.Event != want || k > len(acked) {
			c.t.Fatalf("%s: event %d is %q, want %q; %d are acknowledged", name, k, r.Event, want, len(acked))
		}
		if k == len(acked) {
			c.acked[name] = append(acked, r.Seq)
		} else if r.Seq != acked[k] {
			c.t.Fatalf("%s: event %d is record %d, acknowledged was %d", name, k, r.Seq, acked[k])
		}
		k++
	}
	if k < len(acked) {
		c.t.Fatalf("%s: %d events are acknowledged and %d are there", name, len(acked), k)
	}
}

// checkModel holds the counter's state against the one that the same events lead to by the definition alone.
func (c *crashes) checkModel(got machine.Snapshot) {
	c.t.Helper()
	model := counterAfter(c.t, len(c.acked["counter"]))
	if got.State != model.State || !cmp.Equal(got.Data, model.Data) {
		c.t.Fatalf("counter is in %s with %v, the model in %s with %v", got.State, got.Data, model.State, model.Data)
	}
}

// checkEffects wants every look to have its record, and those that must not be repeated not to be.
func (c *crashes) checkEffects(records map[string][]machine.Record) {
	c.t.Helper()
	recorded := map[string]bool{}
	var visits any
	for _, r := range records["once"] {
		if v, ok := r.Set["visits"]; ok {
			visits = v
		}
		if r.Kind == machine.RecordEffect {
			recorded[fmt.Sprint("start once ", visits)] = true
		}
	}
	for _, r := range records["job"] {
		if r.Kind == machine.RecordTransition && r.Event == "go" {
			recorded[fmt.Sprint("start job ", r.Set["visits"])] = true
		}
	}
	started := map[string]int{}
	for _, line := range c.effects() {
		if strings.HasPrefix(line, "start ") && !recorded[line] {
			c.t.Fatalf("%q happened and is not recorded", line)
		}
		if started[line]++; started[line] > 1 && strings.Contains(line, " once ") {
			c.t.Fatalf("%q happened twice", line)
		}
	}
}

func (c *crashes) effects() []string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "effects"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// recover lets a new host finish what the killed one had begun, and looks at the whole of the history.
func (c *crashes) recover() {
	c.t.Helper()
	h := runHost(c.t, crashConfig(c.dir))
	if err := deployAll(h.Host, h.catalogue); err != nil {
		c.t.Fatal(err)
	}
	if health := h.Health(); !health.Durable || len(health.Degraded) > 0 {
		c.t.Fatalf("health %+v", health)
	}
	eventually(c.t, "everything that was begun is done", func() bool { return c.settled(h) })
	if err := h.stop(); err != nil {
		c.t.Fatal(err)
	}
	records := c.records()
	c.checkDeliveries("ping", "serve", "pong", records)
	c.checkDeliveries("pong", "take", "ping", records)
	c.checkInterrupted(records["once"])
	c.checkEffects(records)
	for name := range crashManifests() {
		c.checkReplay(name)
	}
}

// settled reports whether no machine has anything left to do.
func (c *crashes) settled(h *host) bool {
	data := map[string]map[string]any{}
	for name := range crashManifests() {
		d, err := h.Machine(c.t.Context(), name)
		if err != nil || d.Seq == 0 || d.State == "running" || d.Waiting > 0 {
			return false
		}
		data[name] = d.Data
	}
	served := data["ping"]["served"]
	return data["ping"]["heard"] == served && data["pong"]["taken"] == served
}

// checkDeliveries wants every event that one machine took for another one to be taken there once.
func (c *crashes) checkDeliveries(from, event, to string, records map[string][]machine.Record) {
	c.t.Helper()
	var want, got []uint64
	for _, r := range records[from] {
		if slices.Contains(r.Notify, to) {
			want = append(want, r.Seq)
		}
	}
	for _, r := range records[to] {
		if r.Cause.Kind == machine.CauseSubscription && r.Cause.Machine == from && r.Cause.Name == event {
			got = append(got, r.Cause.Seq)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Fatalf("events of %s that %s took (-recorded +taken):\n%s", from, to, diff)
	}
}

// checkInterrupted wants a look that was running when the host died, and must not be repeated, to have ended as interrupted.
func (c *crashes) checkInterrupted(records []machine.Record) {
	c.t.Helper()
	if c.running == 0 {
		return
	}
	for _, r := range records {
		if r.Cause.Run == c.running && r.Kind != machine.RecordEffect {
			if r.Outcome != machine.OutcomeInterrupted || r.To != "broken" {
				c.t.Fatalf("run %d ended with %+v", c.running, r)
			}
			return
		}
	}
	c.t.Fatalf("run %d has no end", c.running)
}

// checkReplay exports a machine's history as a trace and has every record of it decided again.
func (c *crashes) checkReplay(name string) {
	c.t.Helper()
	def := load(c.t, scripts(""), crashManifests()[name])
	var trace bytes.Buffer
	done, err := runtime.Export{StateDir: c.stateDir(), Machine: name, Definitions: []*machine.Definition{def}}.Write(c.t.Context(), &trace)
	if err != nil || done.Gaps > 0 || done.LeftOut > 0 {
		c.t.Fatalf("%s: exported %+v, %v", name, done, err)
	}
	r, err := machine.NewTraceReader(name, &trace)
	if err != nil {
		c.t.Fatal(err)
	}
	end, err := machine.Replay(r, def, nil, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	snapshots, err := runtime.ReadSnapshots(c.t.Context(), c.stateDir())
	if err != nil {
		c.t.Fatal(err)
	}
	if diff := cmp.Diff(snapshots[name], end); diff != "" {
		c.t.Fatalf("%s (-log +replay):\n%s", name, diff)
	}
}
