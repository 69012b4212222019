package broker

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Config is all that a broker works with. Fields without a default are required. Addresses are host:port; port 0 is any that is
// free, an empty host is every address of the system.
type Config struct {
	// Name is the broker's own in its cell: the host's identity. JetStream knows its peers by it, so that it never changes.
	Name string
	// Cell names the overlay. Tokens of nodes, clients and services must be for it.
	Cell string
	// Dir holds JetStream's data.
	Dir string
	// Fleet is where nodes, clients and services connect.
	Fleet string
	// Enrollment is where nodes connect that have a join token only; "" does not listen.
	Enrollment string
	// Monitor serves the HTTP pages of nats-server, in plain and to everybody who can connect: a loopback address; "" does not listen.
	Monitor string
	// TLS is for every listener; nil listens in plain, which only loopback addresses may.
	TLS *TLS
	// Cluster joins the brokers of a cell; nil is a cell of one broker.
	Cluster *Cluster
	// Leafnodes are the servers elsewhere that this cell is connected to, each with all that passes.
	Leafnodes []Leafnode
	// Verifier trusts the roots of the cell.
	Verifier *identity.Verifier
	// Revoked is what is known to be revoked already, and is told what comes; nil is nothing.
	Revoked *Revocations
	// LoggedIn is told the purpose and the name, as in subjects, of every client and service that was let in; nil tells nobody. It must not wait.
	LoggedIn func(purpose identity.Purpose, name string)
	// Limits is DefaultLimits where nothing else is wanted.
	Limits Limits
	// Now is the wall clock.
	Now func() time.Time
	// Log is given warnings and errors; with Debug also all that nats-server says.
	Log   *slog.Logger
	Debug bool
	// Metrics registers the broker's metrics, with those that are read when they are asked for; nil keeps none.
	Metrics prometheus.Registerer

	// options changes what the server of the fleet is made with, in tests of what it would do otherwise; nil changes nothing.
	options func(*server.Options)
}

// TLS is who a broker is. Nothing older than TLS 1.3 is spoken.
type TLS struct {
	// Certificate is for the names and addresses at which the broker is reached, and serves for clients, too, where brokers call
	// each other.
	Certificate tls.Certificate
	// CA is the certificate, in PEM, that the certificates of the other brokers of the cluster chain to. It must sign brokers only.
	CA string
}

// Cluster is a broker's place among the brokers of its cell.
type Cluster struct {
	// Listen is where the other brokers connect.
	Listen string
	// Peers are the cluster listeners of other brokers, as host:port; one that is up is enough to find all.
	Peers []string
	// Secret is shared by the brokers of the cell, 32 characters at least. With TLS they also show each other certificates.
	Secret string
}

const minSecret = 32

// Validate reports everything that is wrong at once.
func (c *Config) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(c.Name != "" && !strings.ContainsAny(c.Name, " \t\r\n"), "the broker needs a name without spaces: take the host's identity")
	need(c.Cell != "" && !strings.ContainsAny(c.Cell, " .*>\t\r\n"), "the cell needs a name of one word")
	need(c.Dir != "", "a folder for JetStream's data is missing")
	need(c.Verifier != nil, "roots to verify tokens with are missing")
	need(c.Now != nil, "a clock is missing")
	need(c.Log != nil, "a log is missing")
	errs = append(errs, c.checkListener("fleet", c.Fleet))
	if c.Enrollment != "" {
		errs = append(errs, c.checkListener("enrollment", c.Enrollment))
	}
	if c.Monitor != "" {
		errs = append(errs, checkMonitor(c.Monitor))
	}
	if c.TLS != nil {
		errs = append(errs, c.TLS.validate(c.Cluster != nil))
	}
	if c.Cluster != nil {
		errs = append(errs, c.checkListener("cluster", c.Cluster.Listen), c.Cluster.validate())
	}
	errs = append(errs, c.checkLeafnodes())
	errs = append(errs, c.Limits.Validate())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the broker's configuration: %w", err)
	}
	return nil
}

func (c *Config) checkListener(name, address string) error {
	host, _, err := splitAddress(address)
	switch {
	case err != nil:
		return fmt.Errorf("listener %s: %w", name, err)
	case c.TLS == nil && !isLoopback(host):
		return fmt.Errorf("listener %s: %s can be reached from elsewhere, and there is no certificate; give TLS, or listen on 127.0.0.1", name, address)
	}
	return nil
}

func checkMonitor(address string) error {
	host, _, err := splitAddress(address)
	switch {
	case err != nil:
		return fmt.Errorf("listener monitor: %w", err)
	case !isLoopback(host):
		return fmt.Errorf("listener monitor: its pages are for everybody who can connect; listen on 127.0.0.1, not %s", address)
	}
	return nil
}

func (t *TLS) validate(clustered bool) error {
	if len(t.Certificate.Certificate) == 0 || t.Certificate.PrivateKey == nil {
		return errors.New("tls: a certificate with its key is missing")
	}
	if clustered && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA)) {
		return errors.New("tls: the CA of the other brokers is missing, in PEM")
	}
	return nil
}

func (c *Cluster) validate() error {
	if len(c.Secret) < minSecret {
		return fmt.Errorf("cluster: the secret has %d characters, fewer than %d", len(c.Secret), minSecret)
	}
	if len(c.Peers) == 0 {
		return errors.New("cluster: name a peer at least; a cell of one broker has no cluster")
	}
	for _, p := range c.Peers {
		if _, _, err := splitAddress(p); err != nil {
			return fmt.Errorf("cluster: peer: %w", err)
		}
	}
	return nil
}

// splitAddress reads host:port; nats-server's own way to say any free port is -1.
func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("%q is no address: write host:port", address)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q has no port from 0 to 65535", address)
	}
	if n == 0 {
		return host, -1, nil
	}
	return host, int(n), nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
