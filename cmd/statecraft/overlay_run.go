package main

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/overlay"
)

// overlayRunVerb runs a host of a cell.
type overlayRunVerb struct {
	vouchFlags
	WithoutPublished bool   `help:"Run nothing that the channel overlay publishes: the way to publish something else where that keeps the cell from it."`
	ListenMetrics    string `placeholder:"ADDRESS" help:"Serve metrics for Prometheus over HTTP on a loopback address."`
	Dir              string `arg:"" help:"The host's folder, or the folder that overlay init made where it has one host."`
}

// Run runs the host until it is told to stop.
func (v *overlayRunVerb) Run(inv *invocation) error {
	inv.noteTimezone()
	folder, cfg, err := overlay.Open(v.Dir)
	if err != nil {
		return overlayError(err)
	}
	var vouch runtime.Vouch
	if cfg.Machines != "" {
		if vouch, err = v.vouch("the machines of "+cfg.Machines, folder); err != nil {
			return err
		}
	}
	forMany(inv.ctx)
	real, err := clock.NewReal()
	if err != nil {
		return err
	}
	defer real.Close()
	registry := newRegistry()
	host, err := overlay.NewHost(overlay.HostConfig{
		Folder: folder, Config: cfg, Clock: real, Log: inv.log, Metrics: registry, Facts: firstFacts(inv), Version: buildVersion().Version,
		WithoutPublished: v.WithoutPublished, Vouch: vouch, Serving: func(s overlay.Serving) { noteServing(inv, cfg, s) },
	})
	if err != nil {
		return overlayError(err)
	}
	s := &serving{stateDir: host.StateDir(), host: host.Host(), registry: registry, metrics: v.ListenMetrics, run: host.Run}
	return s.serve(inv)
}

// noteServing says once what the host does, and where.
func noteServing(inv *invocation, cfg overlay.Config, s overlay.Serving) {
	at := "nodes and clients at " + s.Fleet
	for _, l := range []struct{ who, url string }{{"nodes that join", s.Enrollment}, {"the other hosts", s.Cluster}} {
		if l.url != "" {
			at += ", " + l.who + " at " + l.url
		}
	}
	inv.notef("host %s of the cell %s serves %s, and runs the machines %s", cfg.Host, cfg.Cell, at, strings.Join(s.Machines, ", "))
}

// overlayError gives an error of a host's folder its exit code and the next step.
func overlayError(err error) error {
	var findings diag.List
	switch {
	case coded(err):
		return err
	case errors.As(err, &findings), errors.Is(err, overlay.ErrSettings):
		return fail(exitInvalid, "mend the file; docs/overlay.md describes every key", "%w", err)
	case errors.Is(err, overlay.ErrSeveralHosts):
		return usage("statecraft overlay run DIR/hosts/NAME", "%w", err)
	case errors.Is(err, fs.ErrNotExist):
		return usage("statecraft overlay init makes the folder of a cell", "%w", err)
	default:
		return fail(exitFailed, "", "%w", err)
	}
}
