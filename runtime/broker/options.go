package broker

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
	for _, l := range c.Leafnodes {
		remote, err := c.remote(&l)
		if err != nil {
			return nil, err
		}
		o.LeafNode.Remotes = append(o.LeafNode.Remotes, remote)
	}
	if c.Cluster != nil {
		c.cluster(o)
	}
	if c.options != nil {
		c.options(o)
	}
	return o, nil
}

func (c *Config) jetStream(o *server.Options) {
	js := c.Limits.JetStream
	o.JetStream, o.DisableJetStreamBanner, o.StoreDir, o.SyncAlways = true, true, c.Dir, true
	// Streams are named from elsewhere by their domain: $JS.CELL.API.
	o.JetStreamDomain, o.FeatureFlags = c.Cell, featureFlags()
	o.JetStreamMaxMemory, o.JetStreamMaxStore = js.Memory, js.Store+js.Uplink
	o.Tags.Add(fmt.Sprintf("stream_bytes:%d", js.Shared))
	o.JetStreamMaxCatchup, o.JetStreamRequestQueueLimit, o.JetStreamInfoQueueLimit = js.Catchup, js.Requests, js.Requests
	o.StreamMaxBufferedMsgs, o.StreamMaxBufferedSize = js.Buffered, js.BufferedBytes
	o.JetStreamLimits = server.JSLimitOpts{
		MaxRequestBatch: js.RequestBatch, MaxAckPending: js.AckPending, MaxHAAssets: js.Replicated, Duplicates: js.Duplicates,
		DefaultMaxConsumers: js.Consumers,
	}
}

// featureFlags are those of nats-server 2.15 that are off by default and that the rights of a leafnode are written for: acknowledgements and
// flow control ($JS.ACK, $JS.FC) and answers to streams ($JSC.R) then name domain, account, stream and consumer, so that a right can be for one
// stream. The third has copies of a stream remember how far it has come in its sources.
func featureFlags() map[string]bool {
	return map[string]bool{
		server.FeatureFlagJsAckFormatV2: true, server.FeatureFlagJsAPIReplyFormatV2: true, server.FeatureFlagJsSnapshotSources: true,
	}
}

func (c *Config) cluster(o *server.Options) {
	l := &c.Limits
	o.Cluster = server.ClusterOpts{
		Name: c.Cell, Username: routeUser, Password: c.Cluster.Secret,
		// Nodes and clients are told all brokers' URLs; addresses that a broker has found for itself may not be in its certificate.
		NoAdvertise: true,
		AuthTimeout: l.AuthTimeout.Seconds(), TLSTimeout: l.TLSTimeout.Seconds(), PingInterval: l.RoutePing, MaxPingsOut: l.RoutePingsMissed,
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
