package overlay

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// The lifetimes of what Init makes.
const (
	issuerLifetime   = 3 * 365 * 24 * time.Hour
	hostTLSLifetime  = 825 * 24 * time.Hour // what common TLS clients accept at most
	nodeLifetime     = 7 * 24 * time.Hour   // the longest token that a host's enrollment issuer may sign
	serviceLifetime  = 24 * time.Hour
	operatorLifetime = 365 * 24 * time.Hour // far beyond the 90 days for which a cell may be cut off
	joinLifetime     = 365 * 24 * time.Hour
)

// maxHosts is how many hosts a cell has at most, as overlay.yaml has it.
const maxHosts = 5

// InitOptions says what cell to make.
type InitOptions struct {
	Dir   string
	Cell  string
	Hosts []HostOptions
	Now   time.Time
	// Open reads the keys of the authority; nil takes those that neither have a passphrase nor are held by another program.
	Open func(path string) (*identity.Key, error)
	// MaxUses bounds how many nodes the join token takes; 0 is any number.
	MaxUses int
	// Helper, HelperWorkers and Machines go into the hosts' configuration as they are.
	Helper        string
	HelperWorkers int
	Machines      string
}

// HostOptions is one host of the cell.
type HostOptions struct {
	Name    string // its identity
	Address string // the name or address at which nodes and the other hosts reach it
	Listen  string // the address that it listens on
	// The ports; enrollment 0 does not listen for nodes that join, monitor 0 has no monitoring.
	Fleet, Enrollment, Cluster, Monitor int
}

// Made names a file that Init made or updated.
type Made struct {
	Path    string `json:"path"`
	What    string `json:"what"`
	Updated bool   `json:"updated"` // it was there
}

// Init makes the folders of a cell. What is there already stays as it is, so that it can be repeated. Run again with one more host, it
// makes that host's folder, and adds it to what the other hosts, the operator and the join token know of where the hosts are.
// Nothing that it makes can be read by others. ErrBusy is the cause where another process is writing in the folder.
func Init(o InitOptions) ([]Made, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := identity.MakeFolder(o.Dir); err != nil {
		return nil, fmt.Errorf("making the cell's folder: %w", err)
	}
	unlock, err := lockCell(o.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := o.allNamed(); err != nil {
		return nil, err
	}
	switch cell, err := CellOf(o.Dir); {
	case err != nil:
		return nil, err
	case cell != "" && cell != o.Cell:
		return nil, fmt.Errorf("%s is the folder of the cell %s, not of %s", o.Dir, cell, o.Cell)
	}
	standing, err := o.readStanding()
	if err != nil {
		return nil, err
	}
	m := &maker{o: o, standing: standing}
	if err := m.authority(); err != nil {
		return m.made, err
	}
	for _, h := range o.Hosts {
		if err := m.host(h); err != nil {
			return m.made, fmt.Errorf("host %s: %w", h.Name, err)
		}
	}
	clients, err := m.clientIssuer()
	if err != nil {
		return m.made, err
	}
	if err := m.operator(clients, m.urls(fleetPort)); err != nil {
		return m.made, err
	}
	if err := m.trust(); err != nil {
		return m.made, err
	}
	if err := m.join(m.urls(enrollmentPort), o.MaxUses); err != nil {
		return m.made, err
	}
	return m.made, m.extend()
}

func (o *InitOptions) validate() error {
	if o.Cell == "" || len(o.Hosts) == 0 {
		return errors.New("a cell needs a name and at least one host")
	}
	if !cellName.MatchString(o.Cell) {
		return fmt.Errorf("the cell cannot be called %q: begin with a letter or digit, and use letters, digits, - and _ only, 64 at most", o.Cell)
	}
	if len(o.Hosts) > maxHosts {
		return fmt.Errorf("a cell has at most %d hosts, not %d", maxHosts, len(o.Hosts))
	}
	for _, h := range o.Hosts {
		if _, err := identity.Parse(h.Name); err != nil {
			return fmt.Errorf("host %q: %w", h.Name, err)
		}
	}
	return nil
}

// cellName is what a new cell may be called: its name is a word of subjects and a folder of nodes.
var cellName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// maker is an Init in progress.
type maker struct {
	o        InitOptions
	standing *standing
	made     []Made
	root     *identity.Key
	ca       *identity.CA
	secret   string
	newKey   func(path string) (*identity.Key, []byte, error) // for a file that is not there, and its content; nil makes a plain one
}

// write makes a file of mode 0600 unless there is one.
func (m *maker) write(path, what string, content func() ([]byte, error)) error {
	if err := identity.CheckFile(path); err != nil {
		return fmt.Errorf("making %s: %w", what, err)
	}
	if _, err := os.Stat(path); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("making %s: %w", what, err)
	}
	if err := identity.MakeFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("making %s: %w", what, err)
	}
	data, err := content()
	if err == nil {
		err = identity.WriteFile(path, data)
	}
	if err != nil {
		return fmt.Errorf("making %s: %w", what, err)
	}
	m.made = append(m.made, Made{Path: path, What: what})
	return nil
}

// key makes a key unless there is one, and returns it.
func (m *maker) key(path, what string) (*identity.Key, error) {
	// A key that others have put there is not taken for one's own.
	if err := identity.CheckFile(path); err != nil {
		return nil, fmt.Errorf("making %s: %w", what, err)
	}
	k, err := m.open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := identity.MakeFolder(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("making %s: %w", what, err)
	}
	if m.newKey == nil {
		if k, err = identity.NewKey(); err == nil {
			err = k.Save(path)
		}
	} else {
		var content []byte
		if k, content, err = m.newKey(path); err == nil {
			err = identity.WriteFile(path, content)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", what, err)
	}
	m.made = append(m.made, Made{Path: path, What: what})
	return k, nil
}

func (m *maker) path(parts ...string) string {
	return filepath.Join(append([]string{m.o.Dir}, parts...)...)
}

// authority makes what signs everything else.
func (m *maker) authority() (err error) {
	if m.root, err = m.key(m.path("authority", "root.key"), "the cell's root key"); err != nil {
		return err
	}
	if m.ca, err = identity.LoadCA(m.path("authority")); errors.Is(err, fs.ErrNotExist) {
		m.ca, err = identity.NewCA("statecraft "+m.o.Cell, m.o.Now, issuerLifetime)
		if err == nil {
			err = m.ca.Save(m.path("authority"))
			m.made = append(m.made, Made{Path: m.path("authority", "ca.pem"), What: "the certificate authority of its brokers"})
		}
	}
	if err != nil {
		return fmt.Errorf("making the certificate authority: %w", err)
	}
	err = m.write(m.path("authority", secretFile), "the secret that the brokers of the cluster share", func() ([]byte, error) {
		b := make([]byte, 32)
		_, err := rand.Read(b)
		return []byte(hex.EncodeToString(b)), err
	})
	if err != nil {
		return err
	}
	secret, err := statefile.Read(m.path("authority", secretFile))
	m.secret = string(secret)
	return err
}

// issuer makes a key and the certificate of what it may sign.
func (m *maker) issuer(dir, name, what string, limits identity.IssuerLimits) (*identity.Signer, error) {
	key, err := m.key(filepath.Join(dir, name+".key"), "the key of "+what)
	if err != nil {
		return nil, err
	}
	cert := filepath.Join(dir, name+".jwt")
	err = m.write(cert, "the certificate of "+what, func() ([]byte, error) {
		token, err := (&identity.Signer{Key: m.root}).Sign(identity.Claims{
			Purpose: identity.PurposeIssuer, Subject: name, PublicKey: key.Public().String(), Cell: m.o.Cell,
			IssuedAt: m.o.Now, Expires: m.o.Now.Add(issuerLifetime), Limits: &limits,
		})
		return []byte(token), err
	})
	if err != nil {
		return nil, err
	}
	return withCertificate(key, dir, name)
}

// open reads a key of the authority.
func (m *maker) open(path string) (*identity.Key, error) {
	if m.o.Open != nil {
		return m.o.Open(path)
	}
	return identity.LoadKey(path)
}

// withCertificate makes the signer of an issuer's key and the certificate beside it.
func withCertificate(key *identity.Key, dir, name string) (*identity.Signer, error) {
	cert, err := statefile.Read(filepath.Join(dir, name+".jwt"))
	if err != nil {
		return nil, fmt.Errorf("reading the %s issuer: %w", name, err)
	}
	return &identity.Signer{Key: key, Chain: []string{strings.TrimSpace(string(cert))}}, nil
}

// loadIssuer reads an issuer's key, which open opens, and the certificate beside it.
func loadIssuer(dir, name string, open func(path string) (*identity.Key, error)) (*identity.Signer, error) {
	key, err := open(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, fmt.Errorf("reading the %s issuer: %w", name, err)
	}
	return withCertificate(key, dir, name)
}

// host makes the folder of one host.
func (m *maker) host(h HostOptions) error {
	dir := m.path("hosts", h.Name)
	err := m.keys(dir, h.Name, []string{h.Name, h.Address, "localhost", "127.0.0.1", "::1"})
	var config string
	if err == nil {
		config, err = m.config(h)
	}
	for _, f := range []struct{ name, what, content string }{
		{rootsFile, "the roots that it trusts", m.root.Public().String() + "\n"},
		{caFile, "the certificate of the authority", m.ca.PEM()},
		{secretFile, "its copy of the cluster's secret", m.secret},
		{configFile, "its configuration", config},
	} {
		if err == nil {
			err = m.write(filepath.Join(dir, f.name), f.what, func() ([]byte, error) { return []byte(f.content), nil })
		}
	}
	return err
}

// keys makes the keys of a host, whose listeners are reached at the names and addresses.
func (m *maker) keys(dir, host string, names []string) error {
	if _, err := m.key(filepath.Join(dir, keyFile), "its key"); err != nil {
		return err
	}
	issuers := filepath.Join(dir, issuersDir)
	_, err := m.issuer(issuers, "enrollment", "its enrollment issuer", identity.IssuerLimits{
		Purposes: []identity.Purpose{identity.PurposeNode, identity.PurposeAssignment, "challenge"},
		Cells:    []string{m.o.Cell}, MaxLifetime: nodeLifetime,
	})
	if err == nil {
		_, err = m.issuer(issuers, "service", "its service issuer", identity.IssuerLimits{
			Purposes: []identity.Purpose{identity.PurposeService}, Identities: host, Cells: []string{m.o.Cell}, MaxLifetime: serviceLifetime,
		})
	}
	if err == nil {
		err = m.serverTLS(dir, names)
	}
	return err
}

// serverTLS makes the certificate of the host's listeners. One half without the other is of no use and is made anew.
func (m *maker) serverTLS(dir string, hosts []string) error {
	halves := []string{filepath.Join(dir, certFile), filepath.Join(dir, certKeyFile)}
	missing := slices.ContainsFunc(halves, func(path string) bool { _, err := os.Stat(path); return err != nil })
	if !missing {
		return nil
	}
	for _, path := range halves {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("making its TLS certificate: %w", err)
		}
	}
	hosts = slices.Clone(hosts)
	slices.Sort(hosts)
	cert, err := m.ca.Server(slices.Compact(hosts), m.o.Now, hostTLSLifetime)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return fmt.Errorf("encoding its TLS key: %w", err)
	}
	var chain []byte
	for _, der := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	err = m.write(halves[0], "its TLS certificate", func() ([]byte, error) { return chain, nil })
	if err != nil {
		return err
	}
	return m.write(halves[1], "the key of its TLS certificate", func() ([]byte, error) {
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), nil
	})
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// urls are the brokers as nodes and clients reach them.
func (m *maker) urls(port func(HostOptions) int) []string {
	var urls []string
	for _, h := range m.o.Hosts {
		if p := port(h); p != 0 {
			urls = append(urls, "tls://"+address(h.Address, p))
		}
	}
	return urls
}

func fleetPort(h HostOptions) int      { return h.Fleet }
func enrollmentPort(h HostOptions) int { return h.Enrollment }

// clientIssuer makes who signs the tokens of clients.
func (m *maker) clientIssuer() (*identity.Signer, error) {
	limits := identity.IssuerLimits{Purposes: []identity.Purpose{identity.PurposeClient}, Cells: []string{m.o.Cell}, MaxLifetime: operatorLifetime}
	return m.issuer(m.path("authority"), "client", "the issuer of clients", limits)
}

// operator makes a client that may do everything in the cell, and reaches its brokers at the URLs.
func (m *maker) operator(signer *identity.Signer, urls []string) error {
	key, err := m.key(m.path("operator", clientKeyFile), "the operator's key")
	if err != nil {
		return err
	}
	lifetime := operatorLifetime
	if c, err := identity.Inspect(signer.Chain[0]); err != nil {
		return fmt.Errorf("reading the certificate of the issuer of clients: %w", err)
	} else if c.Limits != nil && c.Limits.MaxLifetime > 0 { // that of an earlier release has 90 days
		lifetime = min(lifetime, c.Limits.MaxLifetime)
	}
	return m.write(m.path("operator", clientFile), "the operator's context", func() ([]byte, error) {
		token, err := signer.Sign(identity.Claims{
			Purpose: identity.PurposeClient, Subject: "operator", PublicKey: key.Public().String(), Cell: m.o.Cell,
			Permissions: map[string]bool{"admin": true}, IssuedAt: m.o.Now, Expires: m.o.Now.Add(lifetime),
		})
		if err != nil {
			return nil, err
		}
		return (&Client{Cell: m.o.Cell, URLs: urls, CA: m.ca.PEM(), Token: token}).encode()
	})
}

// joinIssuer makes who signs join tokens.
func (m *maker) joinIssuer() (*identity.Signer, error) {
	limits := identity.IssuerLimits{Purposes: []identity.Purpose{identity.PurposeJoin}, Cells: []string{m.o.Cell}, MaxLifetime: joinLifetime}
	return m.issuer(m.path("authority"), "join", "the issuer of join tokens", limits)
}

// join makes the first join token, for enrollment listeners at the URLs.
func (m *maker) join(urls []string, maxUses int) error {
	signer, err := m.joinIssuer()
	if err != nil || len(urls) == 0 {
		return err
	}
	return m.write(m.path(joinFile), "a join token", func() ([]byte, error) {
		token, err := signer.Sign(identity.Claims{
			Purpose: identity.PurposeJoin, Subject: "join", Cell: m.o.Cell, IssuedAt: m.o.Now, Expires: m.o.Now.Add(joinLifetime),
			Join: &identity.JoinClaims{
				URLs: urls, Pins: []string{m.ca.Pin()}, Controller: m.root.Public().String(), MaxUses: maxUses,
			},
		})
		return []byte(token + "\n"), err
	})
}
