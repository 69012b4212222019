package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// The files of a host's folder.
const (
	configFile  = "overlay.yaml"
	keyFile     = "host.key"
	rootsFile   = "roots"
	joinFile    = "join.jwt" // in a host's folder the join token that takes the place of others
	caFile      = "ca.pem"
	certFile    = "tls.pem"
	certKeyFile = "tls.key"
	secretFile  = "cluster.secret"
	issuersDir  = "issuers"
	dataDir     = "streams"
	stateDir    = "state"
	revokedFile = "revoked" // what is revoked, as far as this host knows
)

// Config is a host's configuration, overlay.yaml.
type Config struct {
	// Cell names the overlay: a letter or digit, then those and - _, 64 at most.
	Cell string `yaml:"cell,required"`
	// Host is this host's identity.
	Host string `yaml:"host,required"`
	// Listen says where this host listens.
	Listen Listen `yaml:"listen"`
	// Brokers are the URLs of every fleet listener of the cell, as nodes reach them.
	Brokers []string `yaml:"brokers,required"`
	// Peers are the cluster listeners of the other hosts, as host:port.
	Peers []string `yaml:"peers"`
	// Replicas is how many brokers the cell has; with 1 there is no cluster.
	Replicas int `yaml:"hosts" default:"1" min:"1" max:"5"`
	// Founders are the hosts that the cell began with; empty is all. A host that is not among them serves nobody before one that has the cell's
	// register says that it is complete: what it finds empty may be what has not been copied yet.
	Founders []string `yaml:"founders"`
	// Helper is a program that decides where nodes belong, in place of the policy of the enrollee machine.
	Helper string `yaml:"helper"`
	// HelperWorkers is how many helpers run at once.
	HelperWorkers int `yaml:"helper_workers" default:"10" min:"1" max:"1000"`
	// Configuration is given to every node that is taken, where neither policy nor helper says otherwise.
	Configuration map[string]any `yaml:"configuration"`
	// Reserved are names that no node may have, beside those of the cell's hosts and of the clients that have connected: such as those of clients
	// that have not yet. The same on every host.
	Reserved []string `yaml:"reserved"`
	// Machines is a folder of machines that run beside the built-in ones, or in place of those of the same name.
	Machines string `yaml:"machines"`
	// StreamBytes bounds what JetStream keeps on this host's disk, in bytes, at least 64 MiB. More than the default has to be no more than the disk
	// has. Streams have shares of it; in a cell the smallest
	// counts.
	StreamBytes int64 `yaml:"stream_bytes" default:"10737418240" min:"67108864" max:"1125899906842624"`
	// Connections is how many the fleet listener may have, and EnrollmentConnections the enrollment listener: fewer where the system allows
	// too few open files.
	Connections           int `yaml:"connections" default:"25000" min:"100" max:"1000000"`
	EnrollmentConnections int `yaml:"enrollment_connections" default:"10000" min:"100" max:"1000000"`
	// Joining is how many connections of the enrollment listener may be logged in at once; others wait for their turn. Written, it has to be no
	// more than EnrollmentConnections.
	Joining int `yaml:"joining" default:"500" min:"16" max:"1000000"`
	// ClientSessions is how many sessions the key of a client may have at once on this host; four at most where it reads streams.
	ClientSessions int `yaml:"client_sessions" default:"64" min:"1" max:"100000"`
	// UplinkBytes bounds what JetStream keeps of what leaves the cell (account UPLINK), in bytes, beside StreamBytes; at least 64 MiB.
	UplinkBytes int64 `yaml:"uplink_bytes" default:"1073741824" min:"67108864"`
	// Leafnodes are servers elsewhere, such as those of a region, that this host connects to. Nothing passes but what is listed.
	Leafnodes []Leafnode `yaml:"leafnodes"`
}

// Leafnode is a server elsewhere, and what passes between it and the cell.
type Leafnode struct {
	// Region is its name: its JetStream domain, and what the consumers are called by which it takes streams. It is required; without it an
	// entry is of a release that did not list what passes.
	Region string `yaml:"region"`
	// URLs are its leafnode listeners, as tls://USER:SECRET@HOST:PORT; in plain on loopback only.
	URLs []string `yaml:"urls,required"`
	// CA is a file, from the host's folder on, with the certificate that theirs chain to. Without it the system's count.
	CA string `yaml:"ca"`
	// Out are subjects of FLEET that are heard there.
	Out []string `yaml:"out"`
	// In are subjects that are said there and heard in FLEET.
	In []string `yaml:"in"`
	// Streams are those of UPLINK that it takes.
	Streams []string `yaml:"streams"`
}

// passing is what the broker holds it to.
func (l *Leafnode) passing() broker.Leafnode {
	return broker.Leafnode{Region: l.Region, URLs: l.URLs, Out: l.Out, In: l.In, Streams: l.Streams}
}

// Listen is where a host listens, each as host:port. Port 0 is any that is free.
type Listen struct {
	// Fleet is for nodes and clients.
	Fleet string `yaml:"fleet" default:"0.0.0.0:4222"`
	// Enrollment is for nodes that have a join token only; empty does not listen.
	Enrollment string `yaml:"enrollment"`
	// Cluster is for the other hosts of the cell.
	Cluster string `yaml:"cluster" default:"0.0.0.0:6222"`
	// Monitor is for monitoring, over plain HTTP; empty does not listen.
	Monitor string `yaml:"monitor"`
}

// ErrSeveralHosts is the cause where a folder has the folders of more than one host.
var ErrSeveralHosts = errors.New("there are folders of several hosts")

// ErrSettings is the cause where an overlay.yaml says what cannot be.
var ErrSettings = errors.New("these settings cannot be")

// Open finds the folder of a host: dir itself, or the only one below dir/hosts.
func Open(dir string) (folder string, cfg Config, err error) {
	for _, pattern := range []string{configFile, "hosts/*/" + configFile} {
		found, err := below(dir, pattern)
		if err != nil {
			return "", cfg, err
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			folder = filepath.Dir(found[0])
			cfg, err = ReadConfig(found[0])
			return folder, cfg, err
		default:
			return "", cfg, fmt.Errorf("%s: %w: name one of them, such as %s", dir, ErrSeveralHosts, filepath.Dir(found[0]))
		}
	}
	return "", cfg, fmt.Errorf("%s has no %s: %w", dir, configFile, fs.ErrNotExist)
}

// inHosts are the paths of the files with a name in the folders of a cell's hosts.
func inHosts(dir, name string) ([]string, error) { return below(dir, "hosts/*/"+name) }

// below are the paths of the files below a folder that have a pattern, in order. Only the pattern is one: the folder may have any name.
func below(dir, pattern string) ([]string, error) {
	found, err := fs.Glob(os.DirFS(dir), pattern)
	if err != nil {
		return nil, fmt.Errorf("looking for %s in %s: %w", pattern, dir, err)
	}
	for i, name := range found {
		found[i] = filepath.Join(dir, name)
	}
	return found, nil
}

// ReadConfig reads an overlay.yaml. Findings come as a diag.List.
func ReadConfig(file string) (Config, error) {
	src, err := statefile.Read(file)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	return parseConfig(file, src)
}

func parseConfig(file string, src []byte) (Config, error) {
	var cfg Config
	root, list := strict.Parse(file, src)
	if list.HasErrors() {
		return cfg, list
	}
	list = append(list, strict.Decode(root, &cfg, strict.Options{Unknown: diag.Error})...)
	if err := list.Err(); err != nil {
		return cfg, err
	}
	err := cfg.validate()
	if root.Get("joining") != nil && cfg.Joining > cfg.EnrollmentConnections {
		err = errors.Join(err, fmt.Errorf("joining: %d are more than the listener may have (enrollment_connections: %d); raise that, or write fewer",
			cfg.Joining, cfg.EnrollmentConnections))
	}
	if err != nil {
		return cfg, fmt.Errorf("%s: %w: %w", file, ErrSettings, err)
	}
	return cfg, nil
}

func (c *Config) validate() error {
	var errs []error
	if _, err := identity.Parse(c.Host); err != nil {
		errs = append(errs, fmt.Errorf("host: %w", err))
	}
	if c.Cell == "" || strings.ContainsAny(c.Cell, " .*>\t") {
		errs = append(errs, fmt.Errorf("cell %q is not one word without dots and wildcards", c.Cell))
	}
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("brokers: at least one URL is needed, such as tls://overlay1.example.net:4222"))
	}
	for i := range c.Leafnodes {
		l := c.Leafnodes[i].passing()
		if err := l.Check(c.Cell); err != nil {
			errs = append(errs, fmt.Errorf("leafnodes, entry %d: %w", i+1, err))
		}
	}
	return errors.Join(append(errs, c.checkFounders())...)
}

// checkFounders reports founders of which one at least is none of the cell's hosts. A cell none of whose hosts is a founder would wait for ever.
func (c *Config) checkFounders() error {
	hosts := map[string]bool{c.Host: true}
	for _, name := range c.Founders {
		if _, err := identity.Parse(name); err != nil {
			return fmt.Errorf("founders: %w", err)
		}
		hosts[name] = true
	}
	if len(c.Founders) > 0 && len(hosts) > c.Replicas {
		return fmt.Errorf("founders: with this one, %s, they are %d hosts (%s), and the cell has %d (hosts: %d): is a name misspelled?",
			c.Host, len(hosts), strings.Join(slices.Sorted(maps.Keys(hosts)), ", "), c.Replicas, c.Replicas)
	}
	return nil
}
