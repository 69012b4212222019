package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/runtime/journal"
)

// runVerb hosts machines until it is told to stop.
type runVerb struct {
	stateFlags
	vouchFlags
	Identity      string         `placeholder:"NAME" help:"Name of this host in events and expressions (default: the host name)."`
	Events        string         `placeholder:"FILE" help:"Append what happens to this file as CloudEvents, one a line; - is standard output, in place of the transitions."`
	Facts         string         `placeholder:"FILE" help:"A JSON object with the facts to begin with."`
	Governor      map[string]int `placeholder:"NAME=N" help:"Admit N looks at a time under a governor (default 1). May be given several times."`
	ListenMetrics string         `placeholder:"ADDRESS" help:"Serve metrics for Prometheus over HTTP on a loopback address, such as 127.0.0.1:9464."`
	LogFormat     string         `enum:"text,json" default:"text" help:"Log as text or JSON."`
	Paths         []string       `arg:"" name:"path" help:"Manifests, directories of a machine, or directories with several. Changes are followed while the host runs."`
}

// Run hosts the machines in the foreground.
func (v *runVerb) Run(inv *invocation) error {
	inv.noteTimezone()
	dir, err := v.dir()
	if err != nil {
		return err
	}
	vouch, err := v.vouch("the machines", dir)
	if err != nil {
		return err
	}
	h, err := v.open(inv, dir, vouch)
	if err != nil {
		return err
	}
	err = h.run(inv)
	if closed := h.close(); closed != nil {
		return errors.Join(fail(exitFailed, "", "the host did not stop cleanly: %w", closed), err)
	}
	return err
}

// hosting is a host with everything around it.
type hosting struct {
	host     *runtime.Host
	follower *runtime.Follower
	server   *control.Server
	socket   net.Listener
	metrics  *metricsServer // nil where nobody asked for it
	display  *display
	closers  []func() error // in the order of opening

	reported bool // findings were printed
}

// start runs the parts of a host. stop ends them, outer parts first, and returns what went wrong in them.
func (h *hosting) start() (ended <-chan error, stop func() error) {
	inner, endInner := context.WithCancel(context.Background())
	outer, endOuter := context.WithCancel(context.Background())
	running := make(chan error, 1)
	failed := make(chan error, 3)
	var around group
	go func() { running <- h.host.Run(inner) }()
	around.run(failed, func() error { return h.server.Serve(outer, h.socket) })
	if h.metrics != nil {
		around.run(failed, func() error { return h.metrics.serve(outer) })
	}
	return failed, func() error {
		endOuter()
		around.Wait()
		endInner()
		return <-running
	}
}

// run deploys the machines and waits for a signal.
func (h *hosting) run(inv *invocation) (err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	failed, stop := h.start()
	defer func() {
		if stopped := stop(); stopped != nil {
			inv.notef("stopping the host: %v; the last records may be missing, statecraft states shows what was recorded", stopped)
			err = errors.Join(fail(exitFailed, "", "the host did not stop cleanly"), err)
		}
	}()
	starting := h.follower.Start(inv.ctx)
	if starting != nil && inv.ctx.Err() == nil {
		return h.startError(inv, starting)
	}
	if starting == nil {
		h.started(inv)
		following, end := context.WithCancel(context.Background())
		var follower group
		follower.run(nil, func() error { h.follower.Run(following); return nil })
		defer func() { end(); follower.Wait() }()
	}
	select {
	case err := <-failed:
		return err
	case s := <-signals:
		signal.Stop(signals) // the next one ends the process
		if s == os.Interrupt {
			return interrupted()
		}
		return nil
	}
}

// started tells what the person who started the host should know.
func (h *hosting) started(inv *invocation) {
	for _, reason := range h.host.Health().Degraded {
		fmt.Fprintf(h.display.beside(inv.stderr), "statecraft: the host is degraded: %s\n", reason)
	}
	if h.metrics != nil {
		fmt.Fprintf(h.display.beside(inv.stderr), "statecraft: metrics are at http://%s/metrics\n", h.metrics.listener.Addr())
	}
}

// startError reports machines that cannot be hosted.
func (h *hosting) startError(inv *invocation, err error) error {
	var findings diag.List
	switch {
	case coded(err):
		return err
	case errors.As(err, &findings):
		if !h.reported {
			fmt.Fprintln(inv.stderr, findings.Error())
		}
		return fail(exitInvalid, "mend the manifests; statecraft check shows the findings again", "nothing was started: the machines are not valid")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, runtime.ErrNoMachine):
		return findError(err, "nothing was started: %w")
	default:
		return fail(exitFailed, "", "nothing was started: %w", err)
	}
}

// close lets go of what open opened.
func (h *hosting) close() error {
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	h.closers = nil
	return errors.Join(errs...)
}

// openError is the failure of a state folder that cannot be used.
func openError(err error, dir string) error {
	switch {
	case coded(err):
		return err
	case errors.Is(err, journal.ErrLocked), errors.Is(err, control.ErrInUse):
		return fail(exitFailed, "stop the other host, or choose another folder with --state", "%w", err)
	case errors.Is(err, journal.ErrNewer):
		return fail(exitFailed, "run the newer release, or choose another folder with --state", "%w", err)
	case errors.Is(err, fs.ErrPermission):
		return fail(exitRefused, "choose a folder of your own with --state, or run as its owner", "using the state folder %s: %w", dir, err)
	default:
		return fail(exitFailed, "check the folder, or choose another with --state", "using the state folder %s: %w", dir, err)
	}
}
