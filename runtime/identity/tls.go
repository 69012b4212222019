package identity

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
)

// ErrServer is the cause where a server is not one that was expected. Nothing has been sent to it then.
var ErrServer = errors.New("the server is not the one that is expected")

// PinnedTLS returns the client configuration (TLS 1.3 only) that accepts a server whose chain holds a certificate with one of
// the pins, whatever the system trusts, and whose name matches. The TLS library does not say which address was called: where a server is
// called by an address, its certificate must be for one of hosts, or for any address where no hosts are given.
func PinnedTLS(pins []string, hosts ...string) (*tls.Config, error) {
	p := pinned{hosts: hosts}
	for _, text := range pins {
		pin, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(pin) != sha256.Size {
			return nil, fmt.Errorf("the pin %q is not the base64 form of a SHA-256 digest", shorten(text))
		}
		p.pins = append(p.pins, pin)
	}
	if len(p.pins) == 0 {
		return nil, errors.New("there is no pin: without one no server can be told from another")
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // the system's trust does not count; VerifyConnection checks chain, name and pin
		VerifyConnection:   p.verify,
	}, nil
}

// pinned verifies servers against pins.
type pinned struct {
	pins  [][]byte
	hosts []string
}

func (p pinned) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return fmt.Errorf("it shows no certificate: %w", ErrServer)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: state.ServerName}
	found := false
	for _, c := range state.PeerCertificates {
		if p.isPinned(c) {
			options.Roots.AddCert(c)
			found = true
		} else {
			options.Intermediates.AddCert(c)
		}
	}
	if !found {
		return fmt.Errorf("none of its certificates has a pin of the join token; ask for a new join token if the overlay's CA was replaced: %w", ErrServer)
	}
	server := state.PeerCertificates[0]
	if _, err := server.Verify(options); err != nil {
		return fmt.Errorf("%w: %w", ErrServer, err)
	}
	if state.ServerName == "" && !p.knownAddress(server) {
		return fmt.Errorf("its certificate is not for the address that was called: %w", ErrServer)
	}
	return nil
}

func (p pinned) isPinned(c *x509.Certificate) bool {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return slices.ContainsFunc(p.pins, func(pin []byte) bool { return subtle.ConstantTimeCompare(pin, sum[:]) == 1 })
}

func (p pinned) knownAddress(c *x509.Certificate) bool {
	if len(p.hosts) == 0 {
		return len(c.IPAddresses) > 0
	}
	return slices.ContainsFunc(p.hosts, func(host string) bool { return c.VerifyHostname(host) == nil })
}

// CATLS returns the client configuration (TLS 1.3 only) that trusts the certificates in PEM and nothing else.
func CATLS(pem string) (*tls.Config, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.New("there is no certificate to trust: a CA in PEM form is expected")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}, nil
}
