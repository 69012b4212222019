package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/control"
	"github.com/statecraft-io/statecraft/watchers"
)

// group is goroutines that are waited for together.
type group struct{ sync.WaitGroup }

// run runs f and sends its error, which there must be room for.
func (g *group) run(failed chan<- error, f func() error) {
	g.Go(func() {
		if err := f(); err != nil {
			failed <- err
		}
	})
}

// maxFacts bounds the file of facts (16 MiB).
const maxFacts = 16 << 20

// open prepares everything that a host needs. What it opened is closed again where it fails.
func (v *runVerb) open(inv *invocation, dir string, vouch runtime.Vouch) (h *hosting, err error) {
	h = &hosting{}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	h.openDisplay(inv, v.Events)
	log := v.logger(inv, h.display)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg, err := v.config(inv, h, dir, log)
	if err != nil {
		return h, err
	}
	cfg.Metrics = registry
	if h.metrics, err = listenMetrics(v.ListenMetrics, registry); err != nil {
		return h, err
	}
	if h.metrics != nil {
		h.closers = append(h.closers, h.metrics.http.Close)
	}
	if h.host, err = runtime.New(cfg); err != nil {
		return h, openError(err, dir)
	}
	if h.socket, err = listenControl(log, dir); err != nil {
		return h, openError(errors.Join(err, h.host.Close()), dir)
	}
	h.server = control.NewServer(h.host, registry, log)
	h.follower = runtime.NewFollower(h.host, v.Paths, vouch, func(found diag.List) { h.found(inv, found) })
	h.display.begin(h.host)
	return h, nil
}

// found prints findings in manifests, but for notes, which are left to check.
func (h *hosting) found(inv *invocation, list diag.List) {
	for _, d := range list {
		if d.Severity == diag.Note {
			continue
		}
		h.reported = h.reported || d.Severity == diag.Error
		fmt.Fprintln(h.display.beside(inv.stderr), diag.List{d}.Error())
	}
}

// config is the host's configuration but for its metrics.
func (v *runVerb) config(inv *invocation, h *hosting, dir string, log *slog.Logger) (cfg runtime.Config, err error) {
	cfg = runtime.Config{Identity: v.Identity, Log: log, StateDir: dir, Governors: v.Governor, Observe: h.display.observe}
	for name, n := range v.Governor {
		if n < 1 {
			return cfg, usage("a governor admits one look at a time or more", "--governor %s=%d admits nothing", name, n)
		}
	}
	if cfg.Identity == "" {
		if cfg.Identity, err = os.Hostname(); err != nil {
			return cfg, fail(exitFailed, "name the host with --identity", "asking for the host name: %w", err)
		}
	}
	if cfg.Facts, err = v.facts(); err != nil {
		return cfg, err
	}
	if cfg.Bus, err = v.bus(inv, h); err != nil {
		return cfg, err
	}
	real, err := clock.NewReal()
	if err != nil {
		return cfg, err
	}
	h.closers = append(h.closers, real.Close)
	cfg.Catalogue, cfg.Clock = catalogue(), real
	return cfg, nil
}

// logger logs beside the display, at the level that all verbs have.
func (v *runVerb) logger(inv *invocation, d *display) *slog.Logger {
	options := logOptions(inv.level)
	if v.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(d.beside(inv.stderr), options))
	}
	return slog.New(slog.NewTextHandler(d.beside(inv.stderr), options))
}

// facts reads the facts to begin with, nil for none.
func (v *runVerb) facts() (*watchers.Facts, error) {
	if v.Facts == "" {
		return nil, nil
	}
	const hint = "name a file with a JSON object of at most 16 MiB"
	f, err := os.Open(v.Facts)
	if err != nil {
		return nil, usage(hint, "reading the facts %q: %w", v.Facts, reason(err))
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFacts+1))
	switch {
	case err != nil:
		return nil, usage(hint, "reading the facts %q: %w", v.Facts, reason(err))
	case len(raw) > maxFacts:
		return nil, usage(hint, "the facts %q have more than %d bytes", v.Facts, maxFacts)
	}
	facts, err := watchers.NewFacts(raw)
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(json.Unmarshal(raw, new(any)), &syntax) {
			err = fmt.Errorf("%w (byte %d)", err, syntax.Offset)
		}
		return nil, fail(exitInvalid, hint, "%s: %w", v.Facts, err)
	}
	return facts, nil
}

// bus is where events go, nil for nowhere.
func (v *runVerb) bus(inv *invocation, h *hosting) (runtime.Bus, error) {
	switch v.Events {
	case "":
		return nil, nil
	case "-":
		return runtime.NewWriterBus(inv.out), nil
	}
	f, err := os.OpenFile(v.Events, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, usage("name a file that can be written to", "opening %q for events: %w", v.Events, reason(err))
	}
	h.closers = append(h.closers, f.Close)
	return runtime.NewWriterBus(f), nil
}
