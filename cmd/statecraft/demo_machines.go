package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/manifests"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// demoMachine is the example that the demonstration publishes. It is not built in.
const demoMachine = "metadata"

// deliver shows how machines reach nodes, and what nodes say of themselves.
func (d *demo) deliver(ctx context.Context, conn *overlay.Connection, r *demoResult) error {
	for _, step := range []func(context.Context, *overlay.Connection, *demoResult) error{d.publish, d.tamper, d.inventory} {
		if err := step(ctx, conn, r); err != nil {
			return err
		}
	}
	return nil
}

// publish does what an operator does with a new machine, and waits until every node runs it.
func (d *demo) publish(ctx context.Context, conn *overlay.Connection, r *demoResult) error {
	dir := d.path("machines", demoMachine)
	if err := example(demoMachine, dir); err != nil {
		return err
	}
	seen, err := follow(conn)
	if err != nil {
		return err
	}
	defer seen.stop()
	began := time.Now()
	quiet := *d.inv
	quiet.ctx, quiet.out, quiet.stderr, quiet.json = ctx, &results{w: io.Discard}, io.Discard, false
	v := &publishVerb{
		shelfFlags:   shelfFlags{contextFlags: contextFlags{As: d.path("cell", "operator")}, Channel: "default"},
		signingFlags: signingFlags{Expires: "1d"}, Paths: []string{dir},
	}
	if err := v.Run(&quiet); err != nil {
		return err
	}
	if err := d.until(ctx, seen, fmt.Sprintf("%d nodes run %s", d.verb.Nodes, demoMachine), func() bool { return len(seen.nodes) >= d.verb.Nodes }); err != nil {
		return err
	}
	r.PublishedIn = time.Since(began).Seconds()
	d.step("an operator's machine was checked, signed and published; %d nodes verified, deployed and run it (%.1f s)", d.verb.Nodes, r.PublishedIn)
	return nil
}

// tamper changes a deployed machine behind its node's back, and waits until the node has put it right.
func (d *demo) tamper(ctx context.Context, _ *overlay.Connection, r *demoResult) error {
	if d.crowd != nil {
		return nil // the nodes of one process have their files in memory
	}
	manifest := d.path("nodes", "n1.demo", "machines", demoMachine, "machine.yaml")
	signed, err := os.ReadFile(manifest)
	if err != nil {
		return fmt.Errorf("reading what the node has deployed: %w", err)
	}
	began := time.Now()
	if err := os.WriteFile(manifest, append(signed, "# changed by somebody\n"...), 0o644); err != nil {
		return fmt.Errorf("changing what the node has deployed: %w", err)
	}
	err = d.poll(ctx, "the node has put it right", func() bool {
		now, err := os.ReadFile(manifest)
		return err == nil && string(now) == string(signed)
	})
	if err != nil {
		return err
	}
	r.RepairedIn = time.Since(began).Seconds()
	d.step("somebody changed a file of it on n1.demo; the node noticed, and deployed it anew (%.1f s)", r.RepairedIn)
	return nil
}

// inventory waits until the cell can say of every node what it is.
func (d *demo) inventory(ctx context.Context, _ *overlay.Connection, r *demoResult) error {
	quiet := *d.inv
	quiet.ctx, quiet.stderr, quiet.json = ctx, io.Discard, true
	v := &fleetMachinesVerb{contextFlags: contextFlags{As: d.path("cell", "operator")}}
	var known machinesResult
	err := d.poll(ctx, "the inventory of all nodes has arrived", func() bool {
		var out bytes.Buffer
		quiet.out = &results{w: &out}
		known = machinesResult{}
		return v.Run(&quiet) == nil && json.Unmarshal(out.Bytes(), &known) == nil && known.Known >= d.verb.Nodes
	})
	if err != nil {
		return err
	}
	r.Inventories = known.Known
	names := map[string]bool{}
	for _, m := range known.Machines {
		names[m.Name] = true
	}
	d.step("the inventories of %d nodes arrived: the cell knows their facts, and where each of %d machines runs in which state", r.Inventories, len(names))
	return nil
}

// example copies a machine of manifests/examples into a folder.
func example(name, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making a machine: %w", err)
	}
	from := path.Join("examples", name)
	return fs.WalkDir(manifests.Files, from, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := manifests.Files.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path.Base(file)), content, 0o644)
	})
}

// sightings are the nodes whose machine of a name has been seen to do something.
type sightings struct {
	sub   *nats.Subscription
	heard chan *nats.Msg
	nodes map[string]bool
}

func follow(conn *overlay.Connection) (*sightings, error) {
	s := &sightings{heard: make(chan *nats.Msg, 4096), nodes: map[string]bool{}}
	var err error
	if s.sub, err = conn.ChanSubscribe("choria.machine.transition", s.heard); err == nil {
		err = conn.Flush()
	}
	return s, err
}

func (s *sightings) stop() { _ = s.sub.Unsubscribe() }

// take reads a transition.
func (s *sightings) take(m *nats.Msg) {
	var e struct {
		Data struct{ Identity, Machine string }
	}
	if err := json.Unmarshal(m.Data, &e); err == nil && e.Data.Machine == demoMachine {
		s.nodes[e.Data.Identity] = true
	}
}

// demoPatience is how long a step of the demonstration may take.
const demoPatience = time.Minute

// until takes what is heard until a condition holds.
func (d *demo) until(ctx context.Context, s *sightings, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	for !holds() {
		select {
		case m := <-s.heard:
			s.take(m)
		case err := <-d.failed:
			return d.gaveUp(what, fmt.Errorf("a part of the demonstration ended: %w", err))
		case <-ctx.Done():
			return d.gaveUp(what, ctx.Err())
		}
	}
	return nil
}

// poll asks until a condition holds.
func (d *demo) poll(ctx context.Context, what string, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case err := <-d.failed:
			return d.gaveUp(what, fmt.Errorf("a part of the demonstration ended: %w", err))
		case <-ctx.Done():
			return d.gaveUp(what, ctx.Err())
		}
	}
	return nil
}

// gaveUp keeps the files, for who wants to know why.
func (d *demo) gaveUp(what string, err error) error {
	d.remove = false
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("not within %s", demoPatience)
	}
	return fail(exitPartial, "the logs are in "+d.dir, "waiting until %s: %w", what, err)
}
