// Package broker is the embedded nats-server of an overlay's host: its listeners and accounts, who may connect and what they
// may say, and the end of sessions when tokens end or are revoked. Decisions are made by one pure function, Decide, from what a
// connection shows and what is in memory; nothing is asked over the network. It issues no tokens and knows nothing of what is said.
//
// # Servers
//
// The fleet listener belongs to a server with the accounts SYSTEM, FLEET (the only one with JetStream) and ENROLLMENT. The enrollment
// listener is a second server, as one server has one listener and one cap on connections; a leafnode over loopback, with a secret of this
// process, makes its account ENROLLMENT the other's. Both listen until Close returns. FollowRevocations runs on its caller's goroutine;
// the package has no other goroutines than those of nats-server and nats.go.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Broker is a running broker. Its methods are safe for concurrent use.
type Broker struct {
	cfg        Config
	knowledge  *Knowledge
	metrics    *metrics
	collectors []prometheus.Collector
	log        *quiet
	self       *identity.Key
	files      uint64        // that the system allows to be open
	unkept     chan struct{} // has one where something was revoked that is to be kept on disk
	unstored   unstored

	fleet      *half
	enrollment *half // nil where it does not listen
}

// half is one of the servers, behind its listener.
type half struct {
	gate     *gate
	server   *server.Server
	arrivals *arrivals
	log      *serverLog
}

// Start starts a broker and returns when it listens; Ready waits for the cluster. Ctx bounds the start only. The caller closes it.
func Start(ctx context.Context, cfg Config) (*Broker, error) { return start(ctx, cfg, Decide) }

func start(ctx context.Context, cfg Config, decide decider) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := identity.MakeStateFolder(cfg.Dir); err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	self, err := identity.NewKey()
	if err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	b := &Broker{cfg: cfg, metrics: newMetrics(), log: newQuiet(cfg.Log, cfg.Now), self: self, unkept: make(chan struct{}, 1)}
	if cfg.Revoked == nil {
		cfg.Revoked = NewRevocations()
	}
	b.knowledge = &Knowledge{
		Verifier: cfg.Verifier, Revoked: cfg.Revoked, Cell: cfg.Cell, Limits: cfg.Limits, LeafSecret: rand.Text(), Self: self.Public(),
	}
	if err := b.serve(ctx, decide); err != nil {
		b.stop()
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	return b, nil
}

// serve starts the servers, and registers metrics when all else has succeeded.
func (b *Broker) serve(ctx context.Context, decide decider) error {
	if err := b.holdFiles(); err != nil {
		return err
	}
	l := &b.cfg.Limits
	renewals := newRenewals(l)
	door := func(l Listener, address string, has room) (*gate, error) {
		g := &gate{
			listener: l, decide: decide, knowledge: b.knowledge, renewals: renewals, metrics: b.metrics, log: b.log, now: b.cfg.Now,
			loggedIn: b.cfg.LoggedIn,
		}
		var err error
		g.arrivals, err = openArrivals(ctx, address, &b.cfg.Limits, has, g)
		return g, err
	}
	g, err := door(ListenerFleet, b.cfg.Fleet, room{places: l.Connections, members: l.Connections})
	if err != nil {
		return err
	}
	o, err := b.cfg.fleetOptions(g)
	if err != nil {
		return errors.Join(err, g.arrivals.Close())
	}
	if b.fleet, err = b.run(ctx, o, g); err != nil {
		return err
	}
	if b.cfg.Enrollment != "" {
		g, err := door(ListenerEnrollment, b.cfg.Enrollment, room{places: l.EnrollmentConnections, members: min(l.Joining, l.EnrollmentConnections), time: l.JoinTurn})
		if err != nil {
			return fmt.Errorf("enrollment: %w", err)
		}
		// nats-server writes the port that it was given into its options.
		eo := b.cfg.enrollmentOptions(g, o.LeafNode.Port, b.knowledge.LeafSecret)
		if b.enrollment, err = b.run(ctx, eo, g); err != nil {
			return fmt.Errorf("enrollment: %w", err)
		}
	}
	return b.register()
}

// run starts one server and waits until it serves. The listener is the server's from then on, and closed where it does not.
func (b *Broker) run(ctx context.Context, o *server.Options, g *gate) (*half, error) {
	s, err := server.NewServer(o)
	if err == nil {
		err = listenWith(s, g.arrivals)
	}
	if err != nil {
		return nil, errors.Join(err, g.arrivals.Close())
	}
	h := &half{gate: g, server: s, arrivals: g.arrivals, log: &serverLog{log: b.cfg.Log, quiet: b.log, debug: b.cfg.Debug}}
	s.SetLoggerV2(h.log, b.cfg.Debug, false, false)
	g.attach(s)
	s.Start()
	if !g.arrivals.served.Load() {
		// It gave up before; its end would wait for an accept loop that there is not.
		err = listenWith(s, nil)
	}
	err = errors.Join(err, poll(ctx, func() (bool, error) {
		return s.ReadyForConnections(time.Millisecond), h.log.failure()
	}))
	if err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.Join(err, g.arrivals.Close())
	}
	return h, nil
}

// poll asks until it holds, fails, or ctx ends.
func poll(ctx context.Context, holds func() (bool, error)) error {
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if ok, err := holds(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again.C:
		}
	}
}

func (b *Broker) register() error {
	if b.cfg.Metrics == nil {
		return nil
	}
	for _, c := range b.metrics.all(newReadings(b)) {
		if err := b.cfg.Metrics.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
		b.collectors = append(b.collectors, c)
	}
	return nil
}

// halves are the servers that run.
func (b *Broker) halves() []*half {
	var all []*half
	for _, h := range []*half{b.fleet, b.enrollment} {
		if h != nil {
			all = append(all, h)
		}
	}
	return all
}

// Ready waits until the broker takes part in its cluster's JetStream and those who join reach ENROLLMENT.
func (b *Broker) Ready(ctx context.Context) error {
	err := poll(ctx, func() (bool, error) {
		return b.fleet.server.JetStreamIsCurrent() && (b.enrollment == nil || b.enrollment.server.NumLeafNodes() > 0), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the broker's cluster: %w; see that the other brokers run and that %s is reached from them", err, b.ClusterURL())
	}
	return nil
}

// stopping is how long the servers may take to end, beside the time that clients are given to move.
const stopping = 15 * time.Second

// Close sends clients to the other brokers of the cluster within Limits.LameDuck, and ends the servers. It returns when they have ended, or
// an error when they take too long.
func (b *Broker) Close() error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if b.cfg.Limits.LameDuck > 0 && b.cfg.Cluster != nil {
			b.fleet.server.LameDuckShutdown()
		}
		b.stop()
	}()
	bound := time.NewTimer(b.cfg.Limits.LameDuck + stopping)
	defer bound.Stop()
	select {
	case <-ended:
		return nil
	case <-bound.C:
		return errors.New("closing the broker: it did not end in time")
	}
}

// stop ends what runs at once.
func (b *Broker) stop() {
	for _, c := range b.collectors {
		b.cfg.Metrics.Unregister(c)
	}
	for _, h := range []*half{b.enrollment, b.fleet} {
		if h != nil {
			h.server.Shutdown()
			h.server.WaitForShutdown()
		}
	}
}

// Provider opens connections from within the process, for nats.InProcessServer. They log in as any other.
func (b *Broker) Provider() nats.InProcessConnProvider { return b.fleet.server }

// ClientURL is the fleet listener, with the address that it listens on.
func (b *Broker) ClientURL() string { return b.url(b.fleet.server.Addr()) }

// EnrollmentURL is the enrollment listener, "" where there is none.
func (b *Broker) EnrollmentURL() string {
	if b.enrollment == nil {
		return ""
	}
	return b.url(b.enrollment.server.Addr())
}

// ClusterURL is the cluster listener as host:port, as Cluster.Peers takes it; "" where there is none.
func (b *Broker) ClusterURL() string {
	if a := b.fleet.server.ClusterAddr(); a != nil {
		return a.String()
	}
	return ""
}

// MonitorURL is the monitoring pages, "" where there are none.
func (b *Broker) MonitorURL() string {
	if a := b.fleet.server.MonitorAddr(); a != nil {
		return "http://" + a.String()
	}
	return ""
}

func (b *Broker) url(a net.Addr) string {
	if a == nil {
		return "" // closed
	}
	scheme := "nats://"
	if b.cfg.TLS != nil {
		scheme = "tls://"
	}
	return scheme + strings.Replace(a.String(), "[::]", "127.0.0.1", 1)
}
