package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsServer serves metrics over HTTP.
type metricsServer struct {
	listener net.Listener
	http     *http.Server
}

// listenMetrics listens on a loopback address: whoever can connect can read. An empty address is nil.
func listenMetrics(address string, metrics prometheus.Gatherer) (*metricsServer, error) {
	if address == "" {
		return nil, nil
	}
	const hint = "name a loopback address and a port, such as 127.0.0.1:9464"
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, usage(hint, "metrics cannot be served on %q", address)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fail(exitFailed, hint, "serving metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	s := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	return &metricsServer{listener: l, http: s}, nil
}

// serve answers until ctx ends.
func (m *metricsServer) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = m.http.Close() })
	defer stop()
	if err := m.http.Serve(m.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}
