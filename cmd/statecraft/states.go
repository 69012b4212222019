package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
)

// statesVerb shows in which states the machines of a host are.
type statesVerb struct {
	stateFlags
	Wait    time.Duration `placeholder:"DURATION" help:"Wait this long for the host to answer, for the machine to be there and, with --until, for its state."`
	Check   bool          `help:"For monitoring: end with exit code 6 where the host is degraded, and with 5 where it does not run."`
	Until   string        `placeholder:"STATE" help:"Fail unless the machine is in this state."`
	Machine string        `arg:"" optional:"" help:"Show one machine with its data and watchers."`
}

// statesResult is what states --json prints.
type statesResult struct {
	Running  bool                    `json:"running"` // the host; if not, the states are those recorded last
	Degraded []string                `json:"degraded,omitempty"`
	Machines []runtime.MachineStatus `json:"machines"`
}

// stateResult is what states MACHINE --json prints. Of a host that does not run, only what is recorded is set.
type stateResult struct {
	Running bool `json:"running"`
	runtime.MachineDetail
}

// waitInterval is the time between two questions of a verb that waits.
const waitInterval = 50 * time.Millisecond

// Run prints the states.
func (v *statesVerb) Run(inv *invocation) error {
	if v.Until != "" && v.Machine == "" {
		return usage("name the machine before it: statecraft states MACHINE --until "+v.Until, "--until needs a machine")
	}
	if v.Check && v.Machine != "" {
		return usage("statecraft states --check asks the host; --until STATE holds a machine to a state", "--check is for the host, not for a machine")
	}
	dir, err := v.host()
	if err != nil {
		return err
	}
	client := control.NewClient(dir)
	defer client.Close()
	if err := v.await(inv.ctx, client); err != nil && !(errors.Is(err, control.ErrNoHost) && v.Wait == 0 && v.Until == "") {
		return hostError(err, dir)
	}
	if v.Machine != "" {
		return v.one(inv, client, dir)
	}
	return v.all(inv, client, dir)
}

// await waits until what the flags ask for is so.
func (v *statesVerb) await(ctx context.Context, client *control.Client) error {
	deadline, ticks := time.NewTimer(v.Wait), time.NewTicker(waitInterval)
	defer deadline.Stop()
	defer ticks.Stop()
	for {
		err := v.met(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-ticks.C:
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (v *statesVerb) met(ctx context.Context, client *control.Client) error {
	if v.Machine == "" {
		_, err := client.Health(ctx)
		return err
	}
	d, err := client.Machine(ctx, v.Machine)
	if err == nil && v.Until != "" && d.State != v.Until {
		err = fail(exitFailed, "statecraft why "+v.Machine+" says how it came there; --wait waits for the state", "%s is in state %q, not %q", v.Machine, d.State, v.Until)
	}
	return err
}

// all prints a line a machine.
func (v *statesVerb) all(inv *invocation, client *control.Client, dir string) error {
	r := statesResult{Running: true}
	health, err := client.Health(inv.ctx)
	if err == nil {
		r.Degraded = health.Degraded
		r.Machines, err = client.Machines(inv.ctx)
	}
	if errors.Is(err, control.ErrNoHost) {
		r.Running = false
		var kept *recorded
		if kept, err = readRecorded(inv.ctx, dir, err); err == nil {
			r.Machines = kept.states()
		}
	}
	if err != nil {
		return hostError(err, dir)
	}
	verdict := v.verdict(r, dir)
	if inv.json {
		return errors.Join(verdict, inv.printJSON(r))
	}
	if verdict != nil {
		r.Degraded = nil // which the verdict tells
	}
	inv.hostState(r.Running, r.Degraded)
	rows := [][]string{{"MACHINE", "VERSION", "STATE", "SINCE", "SEQ"}}
	for _, m := range r.Machines {
		rows = append(rows, []string{m.Name, orDash(m.Version), stateText(m), instant(m.Since), strconv.FormatUint(m.Seq, 10)})
	}
	inv.table(rows)
	return verdict
}

// verdict is the error that --check makes of a host that is not well.
func (v *statesVerb) verdict(r statesResult, dir string) error {
	switch {
	case !v.Check:
		return nil
	case !r.Running:
		return hostError(control.ErrNoHost, dir)
	case len(r.Degraded) > 0:
		return fail(exitPartial, "docs/operations.md says what each reason means and what to do", "the host is degraded: %s", strings.Join(r.Degraded, "; "))
	default:
		return nil
	}
}

// hostState marks states that are not those of a host in good health.
func (inv *invocation) hostState(running bool, degraded []string) {
	if !running {
		inv.printf("host not running; these are the states that it recorded last\n")
	}
	for _, reason := range degraded {
		inv.notef("the host is degraded: %s", reason)
	}
}

// stateText is the state with what is special about it.
func stateText(m runtime.MachineStatus) string {
	switch {
	case m.State == "":
		return "(not started)"
	case m.Final != "":
		return m.State + " (" + m.Final + ")"
	case !m.ThrottledSince.IsZero():
		return m.State + " (throttled)"
	default:
		return m.State
	}
}

// one prints a machine in full.
func (v *statesVerb) one(inv *invocation, client *control.Client, dir string) error {
	r := stateResult{Running: true}
	d, err := client.Machine(inv.ctx, v.Machine)
	if errors.Is(err, control.ErrNoHost) {
		r.Running = false
		var kept *recorded
		if kept, err = readRecorded(inv.ctx, dir, err); err == nil {
			d, err = kept.state(v.Machine)
		}
	}
	if err != nil {
		return hostError(err, dir)
	}
	r.MachineDetail = d
	if inv.json {
		return inv.printJSON(r)
	}
	inv.hostState(r.Running, nil)
	inv.detail(d)
	return nil
}

// detail prints what is known of a machine.
func (inv *invocation) detail(d runtime.MachineDetail) {
	rows := [][]string{
		{"machine", d.Name + " " + d.Version},
		{"state", stateText(d.MachineStatus) + " since " + instant(d.Since)},
		{"record", fmt.Sprintf("#%d, visit %d", d.Seq, d.Epoch)},
	}
	if len(d.Groups) > 0 {
		rows = append(rows, []string{"groups", strings.Join(d.Groups, ", ")})
	}
	if d.Deadline != nil {
		text := d.Deadline.Event + " at " + instant(d.Deadline.At)
		if d.Deadline.Group != "" {
			text += ", of the group " + d.Deadline.Group
		}
		rows = append(rows, []string{"deadline", text})
	}
	if d.Directory != "" {
		rows = append(rows, []string{"directory", d.Directory})
	}
	if d.Throttled {
		rows = append(rows, []string{"throttled", "since " + instant(d.ThrottledSince) + ": it turns faster than " + d.Pace})
	}
	if d.Waiting > 0 {
		rows = append(rows, []string{"waiting", counted(d.Waiting, "message")})
	}
	for _, key := range slices.Sorted(maps.Keys(d.Data)) {
		rows = append(rows, []string{"data." + key, valueText(d.Data[key])})
	}
	inv.table(rows)
	if len(d.Watchers) > 0 {
		inv.printf("\n")
		inv.table(watcherRows(d.Watchers))
	}
}

func watcherRows(watchers []runtime.WatcherStatus) [][]string {
	rows := [][]string{{"WATCHER", "TYPE", "NOW", "NEXT LOOK", "LAST OUTCOME", "AT", "SAID"}}
	for _, w := range watchers {
		now := "off"
		switch {
		case w.Running:
			now = "looking"
		case w.Active:
			now = "waiting"
		}
		said := w.Message
		if w.Skipped != "" {
			said = "skipped: " + w.Skipped
		}
		rows = append(rows, []string{w.Name, w.Type, now, instant(w.Next), orDash(w.Outcome), instant(w.At), said})
	}
	return rows
}

// valueText is a value as JSON.
func valueText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
