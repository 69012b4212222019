package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/control"
)

// serving is a program that hosts machines until it is told to stop, with its control socket and its metrics.
type serving struct {
	stateDir string
	host     *runtime.Host
	registry *prometheus.Registry
	metrics  string                          // address to serve them on, "" for none
	run      func(ctx context.Context) error // works until ctx ends, the host included
	started  func(ctx context.Context) error // once all is running
}

// newRegistry is a registry with what every process has.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// listenControl makes the control socket of a state folder, elsewhere where the disk does not take one.
func listenControl(log *slog.Logger, stateDir string) (net.Listener, error) {
	socket, aside, why, err := control.ListenFor(stateDir)
	if err != nil {
		return nil, err
	}
	if aside != "" {
		log.Warn("control_socket_elsewhere", "path", aside, "error", why, "consequence", "the verbs of this release find it by the state folder; others do not")
	}
	return socket, nil
}

// serve runs it until a signal: SIGTERM ends it with success, an interrupt with its own exit code.
func (s *serving) serve(inv *invocation) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	metrics, err := listenMetrics(s.metrics, s.registry)
	if err != nil {
		return err
	}
	socket, err := listenControl(slog.New(inv.log.Handler()), s.stateDir)
	if err != nil {
		return openError(err, s.stateDir)
	}
	server := control.NewServer(s.host, s.registry, slog.New(inv.log.Handler()))
	ctx, end := context.WithCancel(context.Background())
	defer end()
	failed := make(chan error, 4)
	var parts group
	parts.run(failed, func() error { return server.Serve(ctx, socket) })
	if metrics != nil {
		parts.run(failed, func() error { return metrics.serve(ctx) })
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	if s.started != nil {
		parts.run(failed, func() error { return s.started(ctx) })
	}
	var cause error
	select {
	case cause = <-failed:
	case err := <-ended:
		ended <- nil
		cause = errors.Join(err, errors.New("the host ended by itself"))
	case sig := <-signals:
		signal.Stop(signals) // the next one ends the process
		if sig == os.Interrupt {
			cause = interrupted()
		}
	}
	end()
	parts.Wait()
	return errors.Join(cause, <-ended)
}
