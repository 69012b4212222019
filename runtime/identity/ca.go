package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"github.com/statecraft-io/statecraft/runtime/statefile"
)

const (
	caFile    = "ca.pem"
	caKeyFile = "ca.key"
	// backdated is how far behind the clock of who checks a certificate may be.
	backdated = 5 * time.Minute
)

// CA is an overlay's own certificate authority (ECDSA P-256), for its brokers' listeners. It is immutable.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes a certificate authority. Its certificate is valid from a few minutes before now, for lifetime.
func NewCA(name string, now time.Time, lifetime time.Duration) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-backdated), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making a CA: %w", err)
	}
	return &CA{cert: cert, key: key}, nil
}

// Renewed is the same authority, of the same name and key, with a certificate that is valid from a few minutes before now, for lifetime. Who trusts the
// certificate before, or its pin, trusts what this one issues, as long as theirs is valid; and so the other way round.
func (c *CA) Renewed(now time.Time, lifetime time.Duration) (*CA, error) {
	template := *c.cert
	template.SerialNumber, template.NotBefore, template.NotAfter = nil, now.Add(-backdated), now.Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, c.key.Public(), c.key)
	if err != nil {
		return nil, fmt.Errorf("renewing a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("renewing a CA: %w", err)
	}
	return &CA{cert: cert, key: c.key}, nil
}

// LoadCA reads ca.pem and ca.key, which only its owner may read. Errors are fs.ErrNotExist, ErrDamaged and those of reading.
func LoadCA(dir string) (*CA, error) {
	certText, err := statefile.Read(filepath.Join(dir, caFile))
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	keyText, err := ReadPrivate(filepath.Join(dir, caKeyFile))
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	c, err := parseCA(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("reading the CA in %s: %w: %w", dir, ErrDamaged, err)
	}
	return c, nil
}

func parseCA(certText, keyText []byte) (*CA, error) {
	certBlock, _ := pem.Decode(certText)
	keyBlock, _ := pem.Decode(keyText)
	if certBlock == nil || keyBlock == nil {
		return nil, errors.New("a file is not in PEM form")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, errors.New("its key cannot be read")
	}
	key, ok := private.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) || !cert.IsCA {
		return nil, errors.New("the key is not the certificate's")
	}
	return &CA{cert: cert, key: key}, nil
}

// Save writes ca.key and then ca.pem, both of mode 0600, in a folder that is made where there is none. It never replaces another CA
// (fs.ErrExist); what an interrupted Save left is completed or replaced.
func (c *CA) Save(dir string) error {
	if err := MakeFolder(dir); err != nil {
		return fmt.Errorf("saving the CA: %w", err)
	}
	there, err := statefile.Read(filepath.Join(dir, caFile))
	switch {
	case err == nil && !bytes.Equal(there, []byte(c.PEM())):
		return fmt.Errorf("saving the CA: %s holds another one, which is not replaced; move it away first: %w", dir, fs.ErrExist)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("saving the CA: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return fmt.Errorf("saving the CA: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, caKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return fmt.Errorf("saving the CA: %w", err)
	}
	if err := WriteFile(filepath.Join(dir, caFile), []byte(c.PEM())); err != nil {
		return fmt.Errorf("saving the CA: %w", err)
	}
	return nil
}

// PEM is the CA's certificate.
func (c *CA) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw}))
}

// Pin is the base64 SHA-256 of the certificate's SubjectPublicKeyInfo, as PinnedTLS takes it.
func (c *CA) Pin() string {
	sum := sha256.Sum256(c.cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Server issues a server's certificate for host names and addresses; it also serves for a broker that calls another one. It comes with the
// CA's certificate, so that pins find it, and ends with it at the latest.
func (c *CA) Server(hosts []string, now time.Time, lifetime time.Duration) (tls.Certificate, error) {
	if len(hosts) == 0 {
		return tls.Certificate{}, errors.New("issuing a server's certificate: name its hosts or addresses")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issuing a server's certificate: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, NotBefore: now.Add(-backdated), NotAfter: now.Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if template.NotAfter.After(c.cert.NotAfter) {
		template.NotAfter = c.cert.NotAfter
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issuing a server's certificate for %q: %w", hosts, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("issuing a server's certificate for %q: %w", hosts, err)
	}
	return tls.Certificate{Certificate: [][]byte{der, c.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
