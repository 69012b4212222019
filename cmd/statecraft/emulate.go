package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/node"
)

// emulateVerb runs many nodes in one process.
type emulateVerb struct {
	Join     string        `required:"" placeholder:"FILE" help:"The file that holds the join token, or - for standard input."`
	Nodes    int           `default:"100" help:"How many nodes."`
	Prefix   string        `default:"node" help:"What their names begin with; a number follows."`
	Domain   string        `default:"emulated" help:"What their names end in."`
	Pause    time.Duration `help:"Time between two starts."`
	State    string        `placeholder:"DIR" help:"Keep their state in this folder (default: a temporary one)."`
	InMemory bool          `help:"Keep their state in memory: nothing is synced to disk."`
	For      time.Duration `placeholder:"DURATION" help:"Give up when not all have joined after this time." default:"10m"`
	Once     bool          `help:"End when all have joined, instead of staying until interrupted."`
}

// emulateResult is what emulate --json prints when all have joined or it gives up.
type emulateResult struct {
	node.Standing
	Seconds   float64 `json:"seconds"`    // from the first start to the last arrival
	PerMinute float64 `json:"per_minute"` // nodes that became active
}

// Run starts the nodes and tells how they fare.
func (v *emulateVerb) Run(inv *invocation) error {
	token, err := inv.readToken(v.Join)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(inv.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, remove, err := v.folder()
	if err != nil {
		return err
	}
	defer remove()
	crowd, err := newCrowd(inv, dir, v.Nodes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, crowd.end()) }()
	started, err := crowd.agent.Emulate(ctx, v.Prefix, v.Domain, token, v.Nodes, v.Pause)
	if err != nil {
		return err
	}
	standing := crowd.follow(ctx, inv, started, v.For)
	result := emulateResult{Standing: standing, Seconds: spanned(standing), PerMinute: standing.PerMinute()}
	if err := inv.printEmulation(result); err != nil {
		return err
	}
	if standing.Active < standing.Nodes {
		return fail(exitPartial, "is the overlay running, and does the token still hold? --log-level info tells more", "%d of %d nodes joined", standing.Active, standing.Nodes)
	}
	if !v.Once {
		inv.notef("the nodes stay until you interrupt")
		<-ctx.Done()
	}
	return nil
}

// spanned is the seconds from the first start to the last arrival, 0 where nobody arrived.
func spanned(s node.Standing) float64 {
	if s.Active == 0 {
		return 0
	}
	return max(0, s.Last.Sub(s.First).Seconds())
}

func (inv *invocation) printEmulation(r emulateResult) error {
	if inv.json {
		return inv.printJSON(r)
	}
	inv.printf("%d of %d nodes active in %.1f s: %.0f a minute, %.2f s median, %.2f s at the 99th percentile\n",
		r.Active, r.Nodes, r.Seconds, r.PerMinute, r.Median, r.P99)
	return nil
}

// folder is where the state goes, "" for memory, and what removes it.
func (v *emulateVerb) folder() (string, func(), error) {
	switch {
	case v.InMemory:
		return "", func() {}, nil
	case v.State != "":
		dir, err := filepath.Abs(v.State)
		return dir, func() {}, err
	}
	dir, err := os.MkdirTemp("", "statecraft-emulate-")
	if err != nil {
		return "", nil, fail(exitFailed, "name a folder with --state", "making a folder: %w", err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}

// crowd is an agent that runs many nodes.
type crowd struct {
	agent *node.Agent
	clock *clock.Real
	stop  context.CancelFunc
	ended chan error
}

// notEmulated are the machines that say something of a whole host, which would say the same for each of its nodes: its health, and its one journal.
func notEmulated() []string { return []string{"health", "evidence"} }

// newCrowd starts an agent without a node.
func newCrowd(inv *invocation, dir string, nodes int) (*crowd, error) {
	forMany(inv.ctx)
	real, err := clock.NewReal()
	if err != nil {
		return nil, err
	}
	agent, err := node.New(node.Config{
		Identity: "emulator", Dir: dir, Clock: real, Log: inv.log, Facts: ownFacts(), Without: notEmulated(), MaxLooks: 16 * nodes,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the nodes: %w", err), real.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{agent: agent, clock: real, stop: stop, ended: make(chan error, 1)}
	go func() { c.ended <- agent.Run(ctx) }()
	return c, nil
}

// end stops the nodes.
func (c *crowd) end() error {
	c.stop()
	return errors.Join(<-c.ended, c.clock.Close())
}

// follow waits until all nodes are active, ctx ends or the time is up.
func (c *crowd) follow(ctx context.Context, inv *invocation, e *node.Emulation, limit time.Duration) node.Standing {
	give := time.NewTimer(limit)
	defer give.Stop()
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		s := e.Standing()
		if s.Active == s.Nodes {
			return s
		}
		select {
		case <-ticks.C:
			if isTerminal(inv.stderr) {
				inv.notef("%d of %d nodes active", s.Active, s.Nodes)
			}
		case <-give.C:
			return s
		case <-ctx.Done():
			return s
		}
	}
}
