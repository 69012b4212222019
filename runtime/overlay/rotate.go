package overlay

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// RotateOptions says whose keys are to be replaced.
type RotateOptions struct {
	Dir  string // of the cell, as Init made it, with its authority
	Host string
	Now  time.Time
}

// Rotated is what Rotate made, and what is to be revoked when nobody needs it any more.
type Rotated struct {
	Cell string `json:"cell"`
	Host string `json:"host"`
	Made []Made `json:"made"`
	// Revoke are files with the certificates of the issuers before, and the public key that the host had.
	Revoke []string `json:"revoke"`
	OldKey string   `json:"old_key"`
}

// rotatedDir is the folder below authority with the certificates of issuers that were replaced.
const rotatedDir = "rotated"

// Rotate gives a host new keys: its own, those of its issuers with their certificates, and that of its listeners, whose names stay; and all
// hosts of the cell another secret for their cluster, as the host knew that. The cell's root and certificate authority stay, so that what the
// new issuers sign is trusted at once by everybody. The certificates of the issuers before are kept, to be revoked. What was interrupted is done
// again by running it once more.
func Rotate(o RotateOptions) (*Rotated, error) {
	folder := filepath.Join(o.Dir, "hosts", o.Host)
	cfg, err := ReadConfig(filepath.Join(folder, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no host %s in %s: %w", o.Host, o.Dir, err)
	}
	if err != nil {
		return nil, err
	}
	m := &maker{o: InitOptions{Dir: o.Dir, Cell: cfg.Cell, Now: o.Now}}
	for _, name := range []string{"root.key", "ca.key"} { // Init would make others
		if _, err := os.Stat(m.path("authority", name)); err != nil {
			return nil, fmt.Errorf("the cell's authority is needed to vouch for new keys: %w", err)
		}
	}
	if err := m.authority(); err != nil {
		return nil, err
	}
	r := &Rotated{Cell: cfg.Cell, Host: o.Host}
	if err := m.rotate(folder, r); err != nil {
		return nil, fmt.Errorf("rotating the keys of host %s: %w", o.Host, err)
	}
	r.Made = m.made
	return r, nil
}

func (m *maker) rotate(folder string, r *Rotated) error {
	names, err := serverNames(filepath.Join(folder, certFile), r.Host)
	if err != nil {
		return err
	}
	if err := m.setAside(folder, r); err != nil {
		return err
	}
	for _, file := range []string{
		keyFile, certFile, certKeyFile, filepath.Join(issuersDir, "enrollment.key"), filepath.Join(issuersDir, "enrollment.jwt"),
		filepath.Join(issuersDir, "service.key"), filepath.Join(issuersDir, "service.jwt"),
	} {
		if err := os.Remove(filepath.Join(folder, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := m.keys(folder, r.Host, names); err != nil {
		return err
	}
	return m.rotateSecret()
}

// setAside keeps the certificates of the issuers before where the authority is.
func (m *maker) setAside(folder string, r *Rotated) error {
	if key, err := identity.LoadKey(filepath.Join(folder, keyFile)); err == nil {
		r.OldKey = key.Public().String()
	}
	aside := m.path("authority", rotatedDir, r.Host+"-"+m.o.Now.UTC().Format("20060102T150405Z"))
	for _, name := range issuerNames() {
		text, err := statefile.Read(filepath.Join(folder, issuersDir, name+".jwt"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // an earlier run was interrupted, and has kept it
		}
		if err == nil {
			err = os.MkdirAll(aside, 0o700)
		}
		path := filepath.Join(aside, name+".jwt")
		if err == nil {
			err = renameio.WriteFile(path, text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("keeping the certificate of the issuer before: %w", err)
		}
		r.Revoke = append(r.Revoke, path)
	}
	return nil
}

// serverNames are the names and addresses that a host's certificate is for; without one those that everybody's has.
func serverNames(path, host string) ([]string, error) {
	names := []string{host, "localhost", "127.0.0.1", "::1"}
	text, err := statefile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is gone, so that it is not known at which names the host is reached: run statecraft overlay init with all hosts, which makes it", path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not in PEM form", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	names = append(names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names, nil
}

// rotateSecret gives the brokers of the cluster another secret.
func (m *maker) rotateSecret() error {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	copies, err := filepath.Glob(m.path("hosts", "*", secretFile))
	if err != nil {
		return err
	}
	for _, path := range append([]string{m.path("authority", secretFile)}, copies...) {
		if err := m.update(path, "the secret that the brokers of the cluster share: copy it to the host", []byte(hex.EncodeToString(b))); err != nil {
			return err
		}
	}
	return nil
}
