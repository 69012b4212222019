package broker

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/consumers"
)

// consumed are the streams that clients with the right events_read may have consumers of: overlay/consumers serves them.
var consumed = []string{"EVENTS", "DISCOVERY"}

// Who a leafnode and a route say that they are. What counts is the secret beside it.
const (
	leafUser  = "enrollment"
	routeUser = "broker"
)

// inProcess is how many connections from within the process a server takes beside those of its listener.
const inProcess = 100

// common is what the servers of both listeners are made with.
func (c *Config) common(g *gate, connections int) *server.Options {
	l := &c.Limits
	most := l.most()
	at := g.arrivals.Listener.Addr().(*net.TCPAddr)
	o := &server.Options{
		Host: at.IP.String(), Port: at.Port, NoSigs: true, AlwaysEnableNonce: true, CustomClientAuthentication: g,
		// Arrivals hold connections to their bounds; hosts' own are always let in.
		MaxConn: connections + l.Greeted + inProcess, MaxSubs: most.Subscriptions, MaxSubTokens: uint8(l.SubjectTokens),
		MaxPayload: int32(l.Payload), MaxControlLine: int32(l.ControlLine), MaxPending: most.Pending,
		PingInterval: l.PingInterval, MaxPingsOut: l.PingsMissed, WriteDeadline: l.WriteDeadline,
		AuthTimeout: l.AuthTimeout.Seconds(), TLSTimeout: l.TLSTimeout.Seconds(),
		// The first ping would come two seconds after the connection: before the login's answer where thousands log in at once, and nats.go
		// takes it for a failed login.
		DisableShortFirstPing: true,
		// How many connections that have ended the monitoring pages show. They are kept whole.
		MaxClosedClients: 100,
		Debug:            c.Debug,
	}
	if c.TLS != nil {
		// No client of ours resumes sessions, so that tickets would only be made and sent.
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.TLS.Certificate}, SessionTicketsDisabled: true}
	}
	return o
}

// fleetOptions is of the server of the fleet, which has the accounts, JetStream and the cluster.
func (c *Config) fleetOptions(g *gate) (*server.Options, error) {
	o := c.common(g, c.Limits.Connections)
	o.ServerName = c.Name
	if err := c.accounts(o); err != nil {
		return nil, err
	}
	c.jetStream(o)
	if c.Limits.LameDuck > 0 {
		// The grace period, before which nobody is sent away, must be the shorter of both.
		o.LameDuckDuration, o.LameDuckGracePeriod = c.Limits.LameDuck, c.Limits.LameDuck/5
	}
	if c.Monitor != "" {
		o.HTTPHost, o.HTTPPort, _ = splitAddress(c.Monitor)
	}
	if c.Enrollment != "" {
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
		o.LeafNode.AuthTimeout = c.Limits.AuthTimeout.Seconds()
		o.LeafNode.Compression.Mode = server.CompressionOff
		o.LeafNode.NoAdvertise = true
	}
	for _, r := range c.Remotes {
		remote, err := c.remote(r)
		if err != nil {
			return nil, err
		}
		o.LeafNode.Remotes = append(o.LeafNode.Remotes, remote)
	}
	if c.Cluster != nil {
		c.cluster(o)
	}
	return o, nil
}

// accounts are written as a configuration, as the limits of an account's JetStream have no other way in. JetStream's own limits hold
// for FLEET alone; an account's would count every replica of the cluster.
func (c *Config) accounts(o *server.Options) error {
	js := c.Limits.JetStream
	var mappings strings.Builder
	for _, stream := range consumed {
		from, to := consumers.AckMapping(stream)
		fmt.Fprintf(&mappings, "%q: %q\n", from, to)
	}
	err := o.ProcessConfigString(fmt.Sprintf(`
		system_account: %s
		accounts: {
			%s: {}
			%s: {}
			%s: {jetstream: {max_memory: -1, max_file: -1, max_streams: %d, max_consumers: %d, max_ack_pending: %d}, mappings: {%s}}
		}`, AccountSystem, AccountSystem, AccountEnrollment, AccountFleet, js.Streams, js.Consumers, js.AckPending, mappings.String()))
	if err != nil {
		return fmt.Errorf("setting up accounts: %w", err)
	}
	return nil
}

func (c *Config) jetStream(o *server.Options) {
	js := c.Limits.JetStream
	o.JetStream, o.DisableJetStreamBanner, o.StoreDir, o.SyncAlways = true, true, c.Dir, true
	o.JetStreamMaxMemory, o.JetStreamMaxStore = js.Memory, js.Store
	o.Tags.Add(fmt.Sprintf("stream_bytes:%d", js.Shared))
	o.JetStreamMaxCatchup, o.JetStreamRequestQueueLimit, o.JetStreamInfoQueueLimit = js.Catchup, js.Requests, js.Requests
	o.StreamMaxBufferedMsgs, o.StreamMaxBufferedSize = js.Buffered, js.BufferedBytes
	o.JetStreamLimits = server.JSLimitOpts{
		MaxRequestBatch: js.RequestBatch, MaxAckPending: js.AckPending, MaxHAAssets: js.Replicated, Duplicates: js.Duplicates,
		DefaultMaxConsumers: js.Consumers,
	}
}

func (c *Config) cluster(o *server.Options) {
	l := &c.Limits
	o.Cluster = server.ClusterOpts{
		Name: c.Cell, Username: routeUser, Password: c.Cluster.Secret,
		// Nodes and clients are told all brokers' URLs; addresses that a broker has found for itself may not be in its certificate.
		NoAdvertise: true,
		AuthTimeout: l.AuthTimeout.Seconds(), TLSTimeout: l.TLSTimeout.Seconds(), PingInterval: l.PingInterval, MaxPingsOut: l.PingsMissed,
		WriteDeadline: l.WriteDeadline, ConnectBackoff: true,
	}
	o.Cluster.Host, o.Cluster.Port, _ = splitAddress(c.Cluster.Listen)
	if c.TLS != nil {
		others := x509.NewCertPool()
		others.AppendCertsFromPEM([]byte(c.TLS.CA))
		o.Cluster.TLSConfig = &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.TLS.Certificate},
			RootCAs: others, ClientCAs: others, ClientAuth: tls.RequireAndVerifyClientCert,
		}
	}
	for _, p := range c.Cluster.Peers {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", User: url.UserPassword(routeUser, c.Cluster.Secret), Host: p})
	}
}

// insideSubjects are those by which a cell is run: none of them means the same anywhere else. What only its streams take may be heard elsewhere, but comes
// from inside.
func insideSubjects() []string {
	return []string{"$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "$O.>", "node.>", "fleet.>", "client.>"}
}

func (c *Config) remote(r Remote) (*server.RemoteLeafOpts, error) {
	urls, err := r.parse()
	if err != nil {
		return nil, err
	}
	o := &server.RemoteLeafOpts{
		LocalAccount: AccountFleet, URLs: urls, TLSTimeout: c.Limits.TLSTimeout.Seconds(), DenyExports: insideSubjects(),
		DenyImports: append(insideSubjects(), "overlay.>", "choria.>", "discovery.>", "jobs.>", "audit.>", "submit.>"),
	}
	if r.CA != "" {
		o.TLS = true
		if o.TLSConfig, err = identity.CATLS(r.CA); err != nil {
			return nil, fmt.Errorf("connecting to a remote: %w", err)
		}
	}
	return o, nil
}

// enrollmentOptions is of the server of those who join. It has one account, which is ENROLLMENT of the other server by a leafnode.
func (c *Config) enrollmentOptions(g *gate, leafPort int, secret string) *server.Options {
	o := c.common(g, min(c.Limits.Joining, c.Limits.EnrollmentConnections))
	o.ServerName = c.Name + "/enrollment"
	o.NoSystemAccount = true
	o.Accounts = []*server.Account{server.NewAccount(AccountEnrollment)}
	o.LeafNode.ReconnectInterval = 100 * time.Millisecond
	o.LeafNode.Remotes = []*server.RemoteLeafOpts{{
		LocalAccount: AccountEnrollment,
		Compression:  server.CompressionOpts{Mode: server.CompressionOff},
		URLs: []*url.URL{{
			Scheme: "nats-leaf", User: url.UserPassword(leafUser, secret), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(leafPort)),
		}},
	}}
	return o
}
