package overlay

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/watchers/cell"
)

// Certificates implements cell.Certificates: the host's name, the keys that it works with, and the certificates in its folder.
func (h *Host) Certificates() ([]cell.Certificate, error) {
	revoked := h.broker.revoked
	byName := revoked.Ban(broker.Bearer{Purpose: identity.PurposeService, Identity: identity.Identity(h.cfg.Config.Host).Token()})
	all := []cell.Certificate{{Name: cell.HostName, Revoked: byName}, {Name: "host", Key: h.key.Public().String(), Revoked: revoked.HasKey(h.key.Public())}}
	for _, name := range issuerNames() {
		s := h.wallet.Signers[name]
		one := cell.Certificate{Name: name, Key: s.Key.Public().String(), Revoked: revoked.HasKey(s.Key.Public())}
		for _, text := range s.Chain {
			c, err := identity.Inspect(text)
			if err != nil {
				return nil, fmt.Errorf("reading the certificate of the issuer %s: %w", name, err)
			}
			if one.Ends.IsZero() || c.Expires.Before(one.Ends) {
				one.Ends = c.Expires
			}
		}
		all = append(all, one)
	}
	for name, file := range map[string]string{"tls": certFile, "ca": caFile} {
		ends, err := h.certificateEnd(h.path(file))
		if err != nil {
			return nil, err
		}
		all = append(all, cell.Certificate{Name: name, Ends: ends})
	}
	return all, nil
}

// certificateEnd is when the first certificate of a PEM file ends.
func (h *Host) certificateEnd(path string) (time.Time, error) {
	text, err := h.disk.Read(path)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading a certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return time.Time{}, fmt.Errorf("reading the certificate %s: it is not in PEM form", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the certificate %s: %w", path, err)
	}
	return c.NotAfter, nil
}

// keysMachine is the machine that watches the host's own keys.
const keysMachine = "keys"

// certificateMetrics tell when the host's certificates end.
type certificateMetrics struct {
	h    *Host
	desc *prometheus.Desc
}

func newCertificateMetrics(h *Host) *certificateMetrics {
	return &certificateMetrics{h: h, desc: prometheus.NewDesc("statecraft_host_certificate_end_seconds",
		"When a certificate of the host ends, in Unix time, by name: enrollment and service (issuers), tls, ca.", []string{"certificate"}, nil)}
}

// Describe implements prometheus.Collector.
func (m *certificateMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.desc }

// Collect implements prometheus.Collector.
func (m *certificateMetrics) Collect(to chan<- prometheus.Metric) {
	all, err := m.h.Certificates()
	if err != nil {
		return // the machine keys tells of it
	}
	for _, c := range all {
		if !c.Ends.IsZero() {
			to <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(c.Ends.Unix()), strings.ToLower(c.Name))
		}
	}
}
