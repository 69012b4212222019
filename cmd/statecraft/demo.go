package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// demoVerb shows the whole system on this machine.
type demoVerb struct {
	Nodes int    `default:"3" help:"How many nodes join; above 20 they share one process."`
	Dir   string `placeholder:"DIR" help:"Make the demonstration in this folder and keep it (default: a temporary one)."`
	Once  bool   `help:"End after the summary, instead of staying until interrupted."`
}

// demoResult is what demo --json prints.
type demoResult struct {
	Cell        string           `json:"cell"`
	Dir         string           `json:"dir"`
	Nodes       int              `json:"nodes"`
	Active      int              `json:"active"`
	OverlayUp   float64          `json:"overlay_seconds"` // from its start until it answered
	JoinedIn    float64          `json:"joined_seconds"`  // from the first node's start until all were active
	Members     []demoNodeResult `json:"members"`
	PublishedIn float64          `json:"published_seconds"`          // from publishing a machine until all nodes ran it
	RepairedIn  float64          `json:"repaired_seconds,omitempty"` // from changing one of its files until that was undone
	Inventories int              `json:"inventories"`                // nodes whose inventory has arrived
}

// demoNodeResult is a node as the overlay's register has it.
type demoNodeResult struct {
	Identity  string `json:"identity"`
	State     string `json:"state"`
	PublicKey string `json:"public_key"`
}

// maxDemoProcesses is how many nodes get a process of their own.
const maxDemoProcesses = 20

// Run starts everything, tells what happened, and stays.
func (v *demoVerb) Run(inv *invocation) (err error) {
	if v.Nodes < 1 {
		return usage("--nodes 3 is a good start", "a demonstration needs a node")
	}
	ctx, stop := signal.NotifyContext(inv.ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{inv: inv, verb: v}
	defer func() { err = errors.Join(err, d.end()) }()
	result, err := d.start(ctx)
	if ctx.Err() != nil {
		return interrupted()
	}
	if err != nil {
		return err
	}
	if inv.json {
		err = inv.printJSON(result)
	} else {
		d.tell(result)
	}
	if err != nil || v.Once {
		return err
	}
	select {
	case <-ctx.Done():
		inv.notef("cleaning up")
		return nil
	case err := <-d.failed:
		return fail(exitFailed, "the files of the demonstration are in "+d.dir, "a part of the demonstration ended: %w", err)
	}
}

// demo is a demonstration in progress.
type demo struct {
	inv     *invocation
	verb    *demoVerb
	dir     string
	remove  bool
	parts   []*part // processes, in the order of their start
	crowd   *crowd  // nodes that share this process, nil where each has its own
	failed  chan error
	overlay time.Duration
}

func (d *demo) start(ctx context.Context) (*demoResult, error) {
	d.failed = make(chan error, maxDemoProcesses+2)
	if err := d.folder(); err != nil {
		return nil, err
	}
	ports, err := freePorts(4)
	if err != nil {
		return nil, fail(exitFailed, "", "looking for free ports: %w", err)
	}
	_, err = overlay.Init(overlay.InitOptions{Dir: d.path("cell"), Cell: "demo", Now: time.Now(), Hosts: []overlay.HostOptions{{
		Name: "overlay1", Address: "127.0.0.1", Listen: "127.0.0.1", Fleet: ports[0], Enrollment: ports[1], Cluster: ports[2], Monitor: ports[3],
	}}})
	if err != nil {
		return nil, fail(exitFailed, "", "making the cell: %w", err)
	}
	d.step("made the keys, certificates and configuration of a cell")
	began := time.Now()
	if err := d.run("overlay1", "overlay", "run", d.path("cell")); err != nil {
		return nil, err
	}
	member, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer member.Close()
	d.overlay = time.Since(began)
	d.step("the overlay is up: a broker with its streams, and the machines that receive nodes (%.1f s)", d.overlay.Seconds())
	began = time.Now()
	if err := d.nodes(ctx); err != nil {
		return nil, err
	}
	members, err := d.await(ctx, member)
	if err != nil {
		return nil, err
	}
	joined := time.Since(began)
	d.step("%d nodes made their keys, proved them, and were given a place (%.1f s)", len(members), joined.Seconds())
	result := &demoResult{
		Cell: "demo", Dir: d.dir, Nodes: d.verb.Nodes, Active: len(members), OverlayUp: d.overlay.Seconds(), JoinedIn: joined.Seconds(), Members: members,
	}
	return result, d.deliver(ctx, member, result)
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

func (d *demo) folder() (err error) {
	if d.verb.Dir != "" {
		d.dir, err = filepath.Abs(d.verb.Dir)
		return err
	}
	d.remove = true
	if d.dir, err = os.MkdirTemp("", "statecraft-demo-"); err != nil {
		return fail(exitFailed, "name a folder with --dir", "making a folder: %w", err)
	}
	return nil
}

// step tells of progress, on standard error.
func (d *demo) step(format string, args ...any) { d.inv.notef(format, args...) }

// connect waits for the overlay, as the operator.
func (d *demo) connect(ctx context.Context) (*overlay.Connection, error) {
	client, err := overlay.OpenClient(d.path("cell", "operator"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := client.Connect(ctx, slog.New(slog.DiscardHandler)) // it is not there yet, which is no news
	if err != nil {
		return nil, fail(exitUnreachable, "", "the overlay does not answer: %w\n%s", errors.Join(err, d.lost()), d.lastWords("overlay1"))
	}
	return conn, nil
}

// lost returns what a part ended with, if one has.
func (d *demo) lost() error {
	select {
	case err := <-d.failed:
		return err
	default:
		return nil
	}
}

// nodes starts the nodes.
func (d *demo) nodes(ctx context.Context) error {
	join := d.path("cell", "join.jwt")
	if d.verb.Nodes > maxDemoProcesses {
		token, err := d.inv.readToken(join)
		if err != nil {
			return err
		}
		if d.crowd, err = newCrowd(d.inv, d.path("nodes"), d.verb.Nodes); err != nil {
			return err
		}
		_, err = d.crowd.agent.Emulate(ctx, "n", "demo", token, d.verb.Nodes, 0)
		return err
	}
	for i := range d.verb.Nodes {
		name := "n" + strconv.Itoa(i+1) + ".demo"
		if err := d.run(name, "node", "run", "--join", join, "--identity", name, "--state", d.path("nodes", name)); err != nil {
			return err
		}
	}
	return nil
}

// freePorts returns ports of loopback that nobody listens on at the moment.
func freePorts(n int) ([]int, error) {
	var ports []int
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// tell says what there is to see now.
func (d *demo) tell(r *demoResult) {
	inv := d.inv
	inv.printf("\nCell %s, %d nodes:\n\n", r.Cell, r.Active)
	rows := [][]string{{"NODE", "STATE", "KEY"}}
	for i, m := range r.Members {
		if i == 10 {
			rows = append(rows, []string{fmt.Sprintf("and %d more", len(r.Members)-i), "", ""})
			break
		}
		rows = append(rows, []string{m.Identity, m.State, m.PublicKey[:min(16, len(m.PublicKey))]})
	}
	inv.table(rows)
	inv.printf("\nEach node made its own key, was challenged for it, checked by its join token who was asking, and was confirmed by its cell.\n")
	inv.printf("All of it is in machines: statecraft graph and statecraft why show them.\n\nTry next:\n\n")
	inv.printf("  export STATECRAFT_CONTEXT=%s\n", d.path("cell", "operator"))
	inv.printf("  statecraft fleet ls                    who is in the cell\n")
	inv.printf("  statecraft fleet watch                 what happens in it\n")
	inv.printf("  statecraft fleet machines              which machine runs where, in which version and state\n")
	inv.printf("  statecraft fleet inventory n1.demo     what a node is\n")
	inv.printf("  statecraft registry show               what is published, by whom, until when\n")
	if d.crowd == nil {
		inv.printf("  statecraft why enrollment --state %s\n", d.path("nodes", "n1.demo", "state"))
		inv.printf("  statecraft fleet reprovision n1.demo   send a node through all of it again\n")
		inv.printf("  statecraft states --state %s\n", d.path("nodes", "n1.demo", "state"))
	}
	if !d.verb.Once {
		inv.printf("\nctrl-c ends it and removes what it made.\n")
	}
}
