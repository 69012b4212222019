package overlay

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// RotateOptions says whose keys are to be replaced.
type RotateOptions struct {
	Dir  string // of the cell, as Init made it, with its authority
	Host string // "" is everything that can be replaced without making the cell anew
	Now  time.Time
	// Open reads the keys of the authority, as in InitOptions.
	Open func(path string) (*identity.Key, error)
	// Renew makes the key that takes the place of one in a file of the cell, and the content of its file, so that a new key is kept as the one before was; nil
	// makes plain files.
	Renew func(path string) (*identity.Key, []byte, error)

	step func(done string) // told after each change of a file; nil but in tests that end there
}

// Rotated is what Rotate made, and what is to be revoked when nobody needs it any more.
type Rotated struct {
	Cell string `json:"cell"`
	Host string `json:"host"` // "" is all
	// Resumed is whether a rotation that was interrupted was brought to its end.
	Resumed bool   `json:"resumed"`
	Made    []Made `json:"made"`
	// Revoke are files with the certificates of the issuers before, of this rotation and of those before whose folders are still there.
	Revoke []string `json:"revoke"`
	// OldKey is the public key that the host had; OldKeys are those of all hosts and of the operator, of all these rotations.
	OldKey  string   `json:"old_key"`
	OldKeys []string `json:"old_keys"`
	// Kept are the folders of those rotations. What is in them is forgotten by removing them.
	Kept []string `json:"kept"`
}

// The folders of rotations below authority: of the one in progress, and of those that are done, with what was replaced. In each are the folder new, with
// files as they are to be in the cell's folder, the folder old, with the certificates before, and the files label and keys.
const (
	rotatingDir = "rotating"
	rotatedDir  = "rotated"
	newDir      = "new"
	oldDir      = "old"
	labelFile   = "label" // the host, or allHosts
	keysFile    = "keys"  // a line for each key that is replaced: whose it is, a space, and the public key
	allHosts    = "all hosts"
)

// Rotate gives a host new keys: its own, those of its issuers with their certificates, and that of its listeners, whose names stay; and all
// hosts of the cell another secret for their cluster, as the host knew that. For all hosts the issuers of clients and join tokens, the operator and the
// join token are made anew, too, where they are there, and the certificate of the authority is renewed. The cell's root key and the authority's stay, so that what is made is trusted at once by
// everybody. What was replaced is kept to be revoked.
//
// All of it is made beside before anything is replaced. A rotation that was interrupted is brought to its end by the same call.
// ErrBusy is the cause where another process is writing in the folder.
func Rotate(o RotateOptions) (*Rotated, error) {
	m := &maker{o: InitOptions{Dir: o.Dir, Now: o.Now, Open: o.Open}}
	r := &rotation{o: o, m: m, at: m.path("authority", rotatingDir), done: &Rotated{Host: o.Host, Made: []Made{}, Revoke: []string{}, OldKeys: []string{}}}
	if err := r.rotate(); err != nil {
		return nil, fmt.Errorf("rotating the keys of %s: %w", r.label(), err)
	}
	return r.done, nil
}

func (r *rotation) rotate() error {
	if err := identity.CheckFolder(r.m.path("authority")); err != nil {
		return err
	}
	unlock, err := lockCell(r.o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	for _, next := range []func() error{r.resume, r.check, r.prepare, r.install, r.finish} {
		if err := next(); err != nil {
			return err
		}
	}
	return nil
}

// rotation is a Rotate in progress.
type rotation struct {
	o     RotateOptions
	m     *maker // with the authority
	at    string // its folder
	hosts []string
	done  *Rotated
}

func (r *rotation) label() string {
	if r.o.Host == "" {
		return allHosts
	}
	return "host " + r.o.Host
}

func (r *rotation) step(done string) {
	if r.o.step != nil {
		r.o.step(done)
	}
}

// resume looks whether a rotation was interrupted, which must be brought to its end before another begins.
func (r *rotation) resume() error {
	label, err := statefile.Read(filepath.Join(r.at, labelFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && string(label) != r.label() {
		whose := strings.TrimPrefix(string(label), "host ")
		if whose == allHosts {
			whose = "--all"
		}
		err = fmt.Errorf("the rotation of %s was interrupted: bring that to its end first, by statecraft overlay rotate %s --dir %s", label, whose, r.o.Dir)
	}
	r.done.Resumed = err == nil
	return err
}

// check reads whose keys are to be replaced, and holds that they are of the cell whose authority it is.
func (r *rotation) check() error {
	if r.o.Host != "" {
		if _, err := identity.Parse(r.o.Host); err != nil {
			return fmt.Errorf("%q is the name of no host: %w", r.o.Host, err)
		}
		r.hosts = []string{r.o.Host}
	} else if err := r.findHosts(); err != nil {
		return err
	}
	for _, name := range []string{"root.key", "ca.key"} { // maker would make others
		if _, err := os.Stat(r.m.path("authority", name)); err != nil {
			return fmt.Errorf("the cell's authority is needed to vouch for new keys: %w", err)
		}
	}
	for _, host := range r.hosts {
		if err := r.belongs(host); err != nil && !(r.done.Resumed && errors.Is(err, fs.ErrNotExist)) { // a host whose folder was taken away since
			return err
		}
	}
	if err := r.complete(); err != nil {
		return err
	}
	if r.done.Cell == "" { // the folder of the only host was taken away
		var err error
		if r.done.Cell, err = CellOf(r.o.Dir); err != nil {
			return err
		}
	}
	r.m.o.Cell = r.done.Cell
	return r.m.authority()
}

func (r *rotation) findHosts() error {
	found, err := inHosts(r.o.Dir, configFile)
	for _, path := range found {
		r.hosts = append(r.hosts, filepath.Base(filepath.Dir(path)))
	}
	if err == nil && len(r.hosts) == 0 && !r.done.Resumed {
		err = fmt.Errorf("there are no hosts in %s: %w", r.o.Dir, fs.ErrNotExist)
	}
	return err
}

// complete refuses where the folder of a host is missing that others have among their peers: it would be left with the secret before, and without new keys.
func (r *rotation) complete() error {
	if r.done.Resumed {
		return nil // what is new is made already
	}
	found, err := inHosts(r.o.Dir, configFile)
	if err != nil {
		return err
	}
	known, peers := map[string]bool{}, map[string]string{} // peers by who has them
	for _, path := range found {
		c, err := ReadConfig(path)
		if err != nil {
			return err
		}
		port, err := portOf(c.Listen.Cluster)
		if err != nil {
			return fmt.Errorf("%s: listen.cluster: %w", path, err)
		}
		names, err := serverNames(filepath.Join(filepath.Dir(path), certFile), c.Host)
		if err != nil {
			return err
		}
		for _, name := range names {
			known[address(name, port)] = true
		}
		for _, peer := range c.Peers {
			peers[peer] = path
		}
	}
	for _, peer := range slices.Sorted(maps.Keys(peers)) {
		if !known[peer] {
			return fmt.Errorf("the host at %s, which is among the peers of %s, has no folder below %s, so that it would keep the secret and the keys before: bring its "+
				"folder back, or where it is gone for good take it out of the peers of the others", peer, peers[peer], r.m.path("hosts"))
		}
	}
	return nil
}

// belongs refuses a folder that is another host's, or of another cell than the authority's: its keys would be replaced by those that nobody there trusts.
func (r *rotation) belongs(host string) error {
	folder := r.m.path("hosts", host)
	cfg, err := ReadConfig(filepath.Join(folder, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no host %s in %s: %w", host, r.o.Dir, err)
	}
	if err != nil {
		return err
	}
	if cfg.Host != host {
		return fmt.Errorf("%s is the folder of the host %s, not %s", folder, cfg.Host, host)
	}
	if r.done.Cell == "" {
		r.done.Cell = cfg.Cell
	}
	if cfg.Cell != r.done.Cell {
		return fmt.Errorf("%s is of the cell %s, and another host of %s", folder, cfg.Cell, r.done.Cell)
	}
	root, err := r.m.open(r.m.path("authority", "root.key"))
	if err != nil {
		return err
	}
	roots, err := ReadAnchors(filepath.Join(folder, rootsFile))
	if err == nil && !slices.Contains(roots, root.Public()) {
		err = fmt.Errorf("%s does not trust this cell's root key, so that it is of another cell", folder)
	}
	return err
}

// prepare makes all that is new in a folder beside, and gives it its name at the end: before that nothing has happened.
func (r *rotation) prepare() error {
	if r.done.Resumed {
		return nil
	}
	making := r.at + ".new"
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	n := &maker{o: InitOptions{Dir: filepath.Join(making, newDir), Cell: r.done.Cell, Now: r.o.Now, Open: r.o.Open}, root: r.m.root, ca: r.m.ca}
	if r.o.Renew != nil {
		n.newKey = func(path string) (*identity.Key, []byte, error) {
			name, err := filepath.Rel(n.o.Dir, path)
			if err != nil {
				return nil, nil, err
			}
			return r.o.Renew(r.m.path(name))
		}
	}
	var keys strings.Builder
	if r.o.Host == "" {
		err := r.remakeAuthority(n, making, &keys)
		if err != nil {
			return err
		}
	}
	for _, host := range r.hosts {
		if err := r.remakeHost(n, making, host, &keys); err != nil {
			return err
		}
	}
	if err := r.remakeSecret(n); err != nil {
		return err
	}
	for name, content := range map[string]string{keysFile: keys.String(), labelFile: r.label()} {
		if err := identity.WriteFile(filepath.Join(making, name), []byte(content)); err != nil {
			return err
		}
	}
	r.step("made")
	if err := os.Rename(making, r.at); err != nil {
		return err
	}
	r.step("begun")
	return statefile.SyncDir(filepath.Dir(r.at))
}

// remakeHost makes the keys of a host, and notes those that it has.
func (r *rotation) remakeHost(n *maker, making, host string, keys *strings.Builder) error {
	folder := r.m.path("hosts", host)
	names, err := serverNames(filepath.Join(folder, certFile), host)
	if err != nil {
		return err
	}
	key, err := identity.LoadKey(filepath.Join(folder, keyFile))
	if err == nil {
		fmt.Fprintf(keys, "%s %s\n", host, key.Public())
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("which key of %s is to be revoked is not known: mend it, or move it away where it is lost: %w", host, err)
	}
	for _, name := range issuerNames() {
		if err := r.keep(making, filepath.Join("hosts", host, issuersDir, name+".jwt")); err != nil {
			return err
		}
	}
	return n.keys(n.path("hosts", host), host, names)
}

// keep copies a certificate that is to be revoked.
func (r *rotation) keep(making, name string) error {
	text, err := statefile.Read(r.m.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	path := filepath.Join(making, oldDir, name)
	if err == nil {
		err = identity.MakeFolder(filepath.Dir(path))
	}
	if err == nil {
		err = identity.WriteFile(path, text)
	}
	if err != nil {
		return fmt.Errorf("keeping the certificate of an issuer before: %w", err)
	}
	return nil
}

// install puts what is new where it belongs. Files that are there already are written again.
func (r *rotation) install() error {
	from := filepath.Join(r.at, newDir)
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := statefile.Read(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := r.m.path(name)
		if r.gone(name) {
			return nil
		}
		_, missing := os.Lstat(to)
		if err := identity.MakeFolder(filepath.Dir(to)); err != nil {
			return err
		}
		if err := identity.WriteFile(to, content); err != nil {
			return err
		}
		r.done.Made = append(r.done.Made, Made{Path: to, What: whatIs(name), Updated: missing == nil})
		r.step(name)
		return statefile.SyncDir(filepath.Dir(to))
	})
}

// gone reports whether a file is of a host whose folder was taken away since its keys were made: it is nobody's.
func (r *rotation) gone(name string) bool {
	parts := strings.Split(filepath.ToSlash(name), "/")
	if parts[0] != "hosts" {
		return false
	}
	_, err := os.Lstat(r.m.path(parts[0], parts[1]))
	return errors.Is(err, fs.ErrNotExist)
}

// whatIs says in words what a file of a cell's folder is, for people.
func whatIs(name string) string {
	switch filepath.Base(name) {
	case secretFile:
		return "the secret that the brokers of the cluster share: copy it to the host"
	case keyFile:
		return "its key"
	case certFile:
		return "its TLS certificate"
	case certKeyFile:
		return "the key of its TLS certificate"
	case caFile:
		return "the renewed certificate of the authority"
	case clientFile:
		return "the operator's context, with a new token"
	}
	issuer := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	switch {
	case name == joinFile:
		return "a join token"
	case filepath.Base(name) == joinFile && filepath.Base(filepath.Dir(name)) != "authority":
		return "a copy of the join token, which the host gives to nodes that have one of those before"
	case filepath.Base(name) == clientKeyFile && filepath.Base(filepath.Dir(name)) != "authority":
		return "the operator's key"
	case filepath.Ext(name) == ".key":
		return "the key of the issuer " + issuer
	}
	return "the certificate of the issuer " + issuer
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
