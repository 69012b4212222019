package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const deliveredNodes = 12

// runs waits until the cell's view says that all nodes run a machine in its home state, and then holds that each of the hosts that are
// there would say so: any of them answers.
func (c *cluster) runs(name string) {
	c.t.Helper()
	asked := func() error {
		out, err := c.ask("fleet", "machines", name, "--json")
		var answer machinesResult
		if err == nil {
			err = json.Unmarshal(out, &answer)
		}
		if err != nil {
			return err
		}
		if answer.Known != deliveredNodes || len(answer.Machines) != 1 || answer.Machines[0].State != "running" || answer.Machines[0].Nodes != deliveredNodes {
			return fmt.Errorf("the view says %s", out)
		}
		return nil
	}
	const inTurn = 10 // answers of one kind in a row, which come from all hosts but once in ten thousand
	eventually(c.t, clusterWithin, func(context.Context) error {
		for range inTurn {
			if err := asked(); err != nil {
				return err
			}
		}
		return nil
	})
}

// ask runs a verb as the operator, which may be refused.
func (c *cluster) ask(args ...string) ([]byte, error) {
	verb := exec.Command("statecraft", append(args, "--as", filepath.Join(c.dir, "operator"))...)
	var errs bytes.Buffer
	verb.Stderr = &errs
	out, err := verb.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, errs.String())
	}
	return out, nil
}

// TestH64H65ACellOfThreeDelivers publishes machines to a cell of three hosts: with all of them, just before one is killed, while it is dead, and when it
// is back. Every node runs each, and every host that is there answers for all nodes.
func TestH64H65ACellOfThreeDelivers(t *testing.T) {
	c := newCell(t, clusterHosts)
	c.startAll()
	nodes := c.process("emulate", "--join", filepath.Join(c.dir, "join.jwt"), "--nodes", fmt.Sprint(deliveredNodes), "--domain", "c1", "--in-memory")
	publish := func(name string, then func()) {
		t.Helper()
		folder := filepath.Join(t.TempDir(), name)
		text := fmt.Sprintf(`format: 1
name: %s
version: 1.0.0
initial_state: starting
states: {running: {home: true}}
transitions: [{name: go, from: [starting], destination: running}]
watchers: [{name: at_once, type: expression, state_match: [starting], success_transition: go, properties: {success_when: "true"}}]
`, name)
		if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(filepath.Join(folder, "machine.yaml"), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		eventually(t, clusterWithin, func(context.Context) error { // while streams have no leader it is refused
			_, err := c.ask("publish", folder)
			return err
		})
		then()
		c.runs(name)
	}
	publish("all", func() {})
	dead := c.leaderOfRegister()
	publish("just_before", func() { c.hosts[dead].end(syscall.SIGKILL) })
	publish("two", func() {})
	c.start(dead)
	c.replicated(clusterHosts)
	publish("again", func() {})
	c.runs("just_before")
	c.runs("two")
	nodes.end(syscall.SIGTERM)
}
