package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// part is a process of the demonstration.
type part struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
}

// run starts this program as another process, whose output goes to a file. It ends with this one, however that ends.
func (d *demo) run(name string, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	log, err := os.OpenFile(d.path(name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close()
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	p := &part{name: name, cmd: cmd, ended: make(chan struct{})}
	d.parts = append(d.parts, p)
	go func() {
		err := cmd.Wait()
		close(p.ended)
		d.failed <- fmt.Errorf("%s: %w", name, errors.Join(err, errors.New("it ended")))
	}()
	return nil
}

// lastWords is the end of what a part has written, since its file is about to be removed.
func (d *demo) lastWords(name string) string {
	const most = 2000
	text, err := os.ReadFile(d.path(name + ".log"))
	if err != nil || len(text) == 0 {
		return name + " has said nothing"
	}
	return name + " said last:\n" + strings.TrimSpace(string(text[max(0, len(text)-most):]))
}

// partGrace is how long a process may take to end in order.
const partGrace = 5 * time.Second

// end stops everything, the nodes before the overlay, and removes what was made.
func (d *demo) end() error {
	var errs []error
	if d.crowd != nil {
		errs = append(errs, d.crowd.end())
	}
	if len(d.parts) > 0 {
		stopParts(d.parts[1:])
		stopParts(d.parts[:1])
	}
	if d.remove {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// stopParts asks processes to end, and makes those that do not.
func stopParts(parts []*part) {
	for _, p := range parts {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	grace := time.NewTimer(partGrace)
	defer grace.Stop()
	for _, p := range parts {
		select {
		case <-p.ended:
			continue
		case <-grace.C:
			grace.Reset(0)
		}
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// await polls the register until all nodes are active.
func (d *demo) await(ctx context.Context, conn *overlay.Connection) ([]demoNodeResult, error) {
	limit := 30*time.Second + time.Duration(d.verb.Nodes)*50*time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	for {
		members, err := register(ctx, conn)
		if err == nil && len(members) >= d.verb.Nodes {
			return members, nil
		}
		select {
		case <-ticks.C:
		case err := <-d.failed:
			return nil, fail(exitFailed, "the logs are in "+d.dir, "a part of the demonstration ended: %w", err)
		case <-ctx.Done():
			d.remove = false
			return nil, fail(exitPartial, "the logs are in "+d.dir, "only %d of %d nodes joined within %s", len(members), d.verb.Nodes, limit)
		}
	}
}

// register reads the active nodes of the cell's register, by name.
func register(ctx context.Context, conn *overlay.Connection) ([]demoNodeResult, error) {
	js, err := jetstream.New(conn.Conn)
	if err != nil {
		return nil, err
	}
	nodes, err := js.KeyValue(ctx, "NODES")
	if err != nil {
		return nil, err
	}
	watcher, err := nodes.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = watcher.Stop() }()
	var members []demoNodeResult
	for entry := range watcher.Updates() {
		if entry == nil {
			break
		}
		var m demoNodeResult
		if err := json.Unmarshal(entry.Value(), &m); err == nil && m.State == "active" {
			members = append(members, m)
		}
	}
	slices.SortFunc(members, func(a, b demoNodeResult) int { return strings.Compare(a.Identity, b.Identity) })
	return members, nil
}
