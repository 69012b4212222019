package overlay

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// startBroker starts the host's broker, with all that its folder says of it.
func (h *Host) startBroker(ctx context.Context) (*broker.Broker, error) {
	cfg, err := h.brokerConfig()
	if err != nil {
		return nil, err
	}
	if h.member.moves.Load() {
		quiet(&cfg)
	}
	return broker.Start(ctx, cfg)
}

func (h *Host) brokerConfig() (broker.Config, error) {
	c := h.cfg.Config
	cert, err := h.certificate()
	if err != nil {
		return broker.Config{}, fmt.Errorf("reading the TLS certificate: %w", err)
	}
	ca, err := h.disk.Read(h.path(caFile))
	if err != nil {
		return broker.Config{}, fmt.Errorf("reading the certificate authority: %w", err)
	}
	limits := broker.DefaultLimits()
	limits.Connections, limits.EnrollmentConnections, limits.Joining = c.Connections, c.EnrollmentConnections, c.Joining
	limits.Clients.Sessions = c.ClientSessions
	limits.Consumers.Sessions = min(limits.Consumers.Sessions, c.ClientSessions)
	if err := h.holdStreams(&limits.JetStream); err != nil {
		return broker.Config{}, err
	}
	cfg := broker.Config{
		Name: c.Host, Cell: c.Cell, Dir: h.path(dataDir), Fleet: c.Listen.Fleet, Enrollment: c.Listen.Enrollment, Monitor: c.Listen.Monitor,
		TLS: &broker.TLS{Certificate: cert, CA: string(ca)}, Verifier: identity.NewVerifier(h.wallet.Roots...), Limits: limits,
		Now: h.cfg.Clock.Now, Log: h.cfg.Log, Metrics: h.cfg.Metrics, Revoked: h.broker.revoked,
		LoggedIn: h.logins.add,
	}
	for _, l := range c.Leafnodes {
		leafnode, err := h.leafnode(&l)
		if err != nil {
			return cfg, err
		}
		cfg.Leafnodes = append(cfg.Leafnodes, leafnode)
	}
	if c.Replicas == 1 {
		cfg.Limits.LameDuck = 0 // there is no other broker to go to
	}
	if c.Replicas > 1 {
		secret, err := h.disk.Read(h.path(secretFile))
		if err != nil {
			return cfg, fmt.Errorf("reading the cluster's secret: %w", err)
		}
		cfg.Cluster = &broker.Cluster{Listen: c.Listen.Cluster, Peers: c.Peers, Secret: strings.TrimSpace(string(secret))}
	}
	return cfg, nil
}

// holdStreams bounds the streams of FLEET and UPLINK by what the configuration says, or by what they were promised where that is more.
func (h *Host) holdStreams(l *broker.JetStreamLimits) error {
	c := h.cfg.Config
	fleet, err := takenBy(h.path(dataDir), broker.AccountFleet)
	if err != nil {
		return err
	}
	uplink, err := takenBy(h.path(dataDir), broker.AccountUplink)
	if err != nil {
		return err
	}
	l.Shared, l.Store, l.Uplink = c.StreamBytes, max(c.StreamBytes, fleet), uplink
	if len(c.Leafnodes) > 0 { // a host without has the same room as before there was UPLINK
		l.Uplink = max(c.UplinkBytes, uplink)
	}
	if fleet > c.StreamBytes || uplink > c.UplinkBytes {
		h.cfg.Log.Warn("streams_above_limit", "stream_bytes", c.StreamBytes, "taken", fleet, "uplink_bytes", c.UplinkBytes, "uplink_taken", uplink)
	}
	return nil
}

func (h *Host) leafnode(l *Leafnode) (broker.Leafnode, error) {
	r := l.passing()
	if l.CA == "" {
		return r, nil
	}
	file := l.CA
	if !filepath.IsAbs(file) {
		file = h.path(file)
	}
	ca, err := h.disk.Read(file)
	if err != nil {
		return r, fmt.Errorf("reading the certificate authority of a leafnode: %w", err)
	}
	r.CA = string(ca)
	return r, nil
}

// certificate is that of the host's listeners.
func (h *Host) certificate() (tls.Certificate, error) {
	cert, err := h.disk.Read(h.path(certFile))
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := h.disk.Read(h.path(certKeyFile))
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

func (h *Host) path(name string) string { return filepath.Join(h.cfg.Folder, name) }
